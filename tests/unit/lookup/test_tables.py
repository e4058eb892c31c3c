"""Tables that are read whole, written in their names, or made of others."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.users import ordinary_user

from mta.lookup.open import open_table
from mta.lookup.syntax import parse
from mta.lookup.table import Key, Table, TableError, search


def table_of(text: str) -> Table:
    return open_table(parse(text))


def failure(table: Table, key: str = "k") -> str:
    with pytest.raises(TableError) as raised:
        table.find(key)
    return str(raised.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t"
    path.write_text("k v\nK second\n\u00c4 umlaut\n")
    return path


class TestTexthash:
    def test_it_finds_keys_in_any_case(self, file: Path) -> None:
        table = table_of(f"texthash:{file}")
        keys = ("k", "K", "\u00e4", "x", "")
        assert [table.find(it) for it in keys] == ["v", "v", "umlaut", None, None]
        assert table.takes_parts

    @pytest.mark.parametrize("key", ["k" * 1_000_000, "\0", "\ud800", "k\0"])
    def test_odd_keys_are_not_there(self, file: Path, key: str) -> None:
        assert table_of(f"texthash:{file}").find(key) is None

    def test_replaced_by_rename(self, file: Path) -> None:
        table = table_of(f"texthash:{file}")
        before = table.identity()
        assert table.find("k") == "v"
        new = file.with_name("new")
        new.write_text("k w\n")
        new.rename(file)
        assert table.find("k") == "w"
        assert table.identity() != before
        assert table.identity() == table_of(f"texthash:{file}").identity()

    def test_written_in_place_with_the_old_time(self, file: Path) -> None:
        table = table_of(f"texthash:{file}")
        assert table.find("k") == "v"
        found = file.stat()
        before = table.identity()
        file.write_text("k w\n")
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert table.find("k") == "w"
        assert table.identity() != before

    def test_it_vanishes_and_comes_back(self, file: Path) -> None:
        table = table_of(f"texthash:{file}")
        assert table.find("k") == "v"
        file.unlink()
        assert failure(table) == f"texthash:{file}: No such file or directory"
        with pytest.raises(TableError):
            table.identity()
        file.write_text("k w\n")
        assert table.find("k") == "w"

    def test_replaced_by_a_folder(self, file: Path) -> None:
        table = table_of(f"texthash:{file}")
        assert table.find("k") == "v"
        file.unlink()
        file.mkdir()
        assert failure(table) == f"texthash:{file}: expected a file, got a directory"

    def test_replaced_by_a_fifo(self, file: Path) -> None:
        table = table_of(f"texthash:{file}")
        file.unlink()
        os.mkfifo(file)
        assert failure(table) == f"texthash:{file}: expected a file, got a FIFO"

    def test_a_line_that_is_wrong_fails_for_all_keys(self, file: Path) -> None:
        file.write_text("k v\nl\n")
        table = table_of(f"texthash:{file}")
        reason = f"{file}:2:2: expected KEY WHITE-SPACE VALUE, got no value"
        assert [failure(table, it) for it in ("k", "l", "x")] == [reason] * 3

    def test_a_wrong_file_is_read_once(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file.write_text("k\n")
        table = table_of(f"texthash:{file}")
        reason = failure(table)
        monkeypatch.setattr("mta.lookup.files.open_regular", None)
        assert failure(table) == reason

    def test_binary_content(self, file: Path) -> None:
        file.write_bytes(bytes(range(256)) * 10)
        assert failure(table_of(f"texthash:{file}")).startswith(f"{file}:2:118: expected UTF-8")

    def test_too_large_a_file(self, file: Path) -> None:
        os.truncate(file, (16 << 20) + 1)
        assert failure(table_of(f"texthash:{file}")) == (
            f"texthash:{file}: expected at most 16777216 octets; cdb is the type for large tables"
        )

    def test_a_file_that_may_not_be_read(self, file: Path) -> None:
        file.chmod(0)
        with ordinary_user():
            assert failure(table_of(f"texthash:{file}")).endswith(": Permission denied")

    def test_a_path_that_no_file_can_have(self) -> None:
        assert failure(table_of("texthash:/\ud800"))


class TestWrittenInTheName:
    def test_inline(self) -> None:
        table = table_of('inline:{K=v, {"a b" = c, d}}')
        assert [table.find(it) for it in ("k", "K", '"A b"', "x")] == ["v", "v", "c, d", None]
        assert table.takes_parts

    def test_static(self) -> None:
        table = table_of("static:{ x y }")
        assert [table.find(it) for it in ("", "k", "k" * 1_000_000)] == ["x y"] * 3
        assert table.takes_parts

    @pytest.mark.parametrize("text", ["static:x", "inline:{a=x}", "pcre:{{/a/ x}}"])
    def test_the_identity_is_that_of_the_name(self, text: str) -> None:
        other = text.replace("x", "y")
        assert table_of(text).identity() == table_of(text).identity()
        assert table_of(text).identity() != table_of(other).identity()

    @pytest.mark.parametrize("kind", ["pcre", "regexp"])
    def test_rules(self, kind: str) -> None:
        table = table_of(f"{kind}:{{{{if /@b$/}} {{/^(.*)@/ got $1, so}} {{endif}} {{/^/ other}}}}")
        assert [table.find(it) for it in ("a@b", "a@c")] == ["got a, so", "other"]

    def test_a_rule_that_is_wrong(self) -> None:
        assert failure(table_of("pcre:{{/a/ b} {/(/ c}}")).startswith("pcre:{...}:2:3: ")


class TestCombined:
    def test_union(self, file: Path) -> None:
        table = table_of(f"unionmap:{{texthash:{file} inline:{{k=w, x=y}}}}")
        assert [table.find(it) for it in ("k", "x", "z")] == ["v,w", "y", None]

    def test_pipe(self, file: Path) -> None:
        table = table_of(f"pipemap:{{inline:{{a=K b=x}} texthash:{file}}}")
        assert [table.find(it) for it in ("a", "b", "k")] == ["v", None, None]

    @pytest.mark.parametrize("kind", ["unionmap", "pipemap"])
    def test_one_that_fails_fails_for_all(self, kind: str, tmp_path: Path) -> None:
        table = table_of(f"{kind}:{{inline:{{k=v}},texthash:{tmp_path}/none,static:x}}")
        assert failure(table) == f"texthash:{tmp_path}/none: No such file or directory"
        with pytest.raises(TableError):
            table.identity()

    @pytest.mark.parametrize("kind", ["unionmap", "pipemap"])
    def test_the_identity_follows_each_table(self, kind: str, file: Path) -> None:
        table = table_of(f"{kind}:{{static:x,texthash:{file}}}")
        before = table.identity()
        file.write_text("k other\n")
        assert table.identity() != before

    @pytest.mark.parametrize("kind", ["unionmap", "pipemap"])
    def test_the_first_table_says_whether_parts_are_keys(self, kind: str) -> None:
        pattern = "pcre:{{/a/ b}}"
        assert table_of(f"{kind}:{{static:x,{pattern}}}").takes_parts
        assert not table_of(f"{kind}:{{{pattern},static:x}}").takes_parts

    def test_values_together_are_bounded(self, file: Path) -> None:
        file.write_text(f"k {'x' * 30_000}\n")
        table = table_of(f"unionmap:{{texthash:{file},texthash:{file}}}")
        assert failure(table) == "unionmap:{...}: expected values of at most 50000 octets together"

    def test_a_long_value_is_no_key_for_patterns(self, file: Path) -> None:
        file.write_text(f"k {'x' * 30_000}\n")
        table = table_of(f"pipemap:{{texthash:{file},pcre:{{{{/x/ y}}}}}}")
        assert failure(table) == "pcre:{...}: expected a key of at most 1024 characters"


def test_what_may_take_its_time_is_left_to_the_service() -> None:
    name = parse("unionmap:{static:x,sqlite:/s.cf}")
    with pytest.raises(TableError, match=r"^sqlite:/s.cf: only the service lookup answers"):
        open_table(name)
    table = open_table(name, {"sqlite": lambda it: table_of(f"static:{it.argument}")})
    assert table.find("k") == "x,/s.cf"


def test_all_tables_are_asked_for_a_key_before_the_next_one() -> None:
    tables = [table_of(it) for it in ("pcre:{{/^b/ p}}", "inline:{b=1}", "inline:{a@b=2}")]
    hit = search(tables, [Key("a@b"), Key("b", partial=True)])
    assert hit is not None
    assert (hit.key, hit.value) == (0, "2")
    hit = search(tables, [Key("x@b"), Key("b", partial=True)])
    assert hit is not None
    assert (hit.key, hit.value) == (1, "1")


@given(tail=st.binary(max_size=100), data=st.data())
def test_what_is_no_source_any_more_is_no_empty_table(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, data: st.DataObject
) -> None:
    content = b"key value\n" + tail
    length = data.draw(st.integers(len(b"key v"), len(content)))
    path = tmp_path_factory.mktemp("table") / "t"
    path.write_bytes(content[:length])
    with contextlib.suppress(TableError):
        assert table_of(f"texthash:{path}").find("key") is not None
