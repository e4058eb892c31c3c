"""A constant table that is read: what was written, or a failure that says what to do."""

import contextlib
import os
import tempfile
import zlib
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.constant_tables import hash_tables, sealed, write_table
from support.folders import reachable_folder
from support.users import ordinary_user

from mta.lookup.cdb import (
    BLOCK_SIZE,
    DIRECTORY_SIZE,
    FOOT_SIZE,
    LENGTHS,
    PAIR,
    PROBE_LIMIT,
    VERSION,
    hash_of,
)
from mta.lookup.constant import ConstantTable
from mta.lookup.fold import fold
from mta.lookup.table import KEY_LIMIT, VALUE_LIMIT, TableError

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).map(fold)
VALUES = st.text(st.characters(codec="utf-8"), max_size=300)
ITEMS = {f"user{number}@example.org": f"target{number}" for number in range(20)}
SOME = "user7@example.org"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "table.cdb"
    write_table(path, ITEMS.items())
    return path


def table_of(file: Path) -> ConstantTable:
    return ConstantTable(str(file.with_suffix("")))


def failure(table: ConstantTable, key: str = SOME) -> str:
    """Why the table gives no answer, without the place of the file."""
    with pytest.raises(TableError) as caught:
        table.find(key)
    return str(caught.value)


def judge(table: ConstantTable, items: dict[str, str]) -> int:
    """How many keys were found; what is found is right, and no key is said to be missing."""
    found = 0
    for key, value in items.items():
        with contextlib.suppress(TableError):
            assert table.find(key) == value, key
            found += 1
    return found


class TestAnswers:
    @given(items=st.dictionaries(KEYS, VALUES, max_size=60), others=st.lists(KEYS, max_size=20))
    @settings(deadline=None)
    def test_what_was_written_and_nothing_else(
        self, items: dict[str, str], others: list[str]
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "table.cdb")
            assert write_table(file, items.items()) == []
            table = table_of(file)
            for key in [*items, *others]:
                assert table.find(key) == items.get(key)

    def test_more_records_than_the_blocks_that_are_kept(self, tmp_path: Path) -> None:
        items = {f"key{number}": f"{number} " * 80 for number in range(2500)}
        write_table(tmp_path / "table.cdb", items.items())
        table = table_of(tmp_path / "table.cdb")
        assert (tmp_path / "table.cdb").stat().st_size > 128 * BLOCK_SIZE
        assert judge(table, items) == len(items)
        assert all(table.find(f"{key}x") is None for key in items)

    def test_an_empty_table_has_no_key(self, tmp_path: Path) -> None:
        write_table(tmp_path / "table.cdb", ())
        assert table_of(tmp_path / "table.cdb").find(SOME) is None

    def test_the_largest_value_and_key(self, tmp_path: Path) -> None:
        value = "v" * VALUE_LIMIT
        write_table(tmp_path / "table.cdb", [("k" * KEY_LIMIT, value), ("other", "value")])
        table = table_of(tmp_path / "table.cdb")
        assert table.find("k" * KEY_LIMIT) == value
        assert table.find("other") == "value"

    @pytest.mark.parametrize("key", ["", "k" * 1_000_000, "\ud800", "\0", "user7@example.org\0"])
    def test_odd_keys_are_not_there(self, file: Path, key: str) -> None:
        assert table_of(file).find(key) is None

    def test_case_does_not_matter(self, file: Path) -> None:
        assert table_of(file).find("User7@Example.ORG") == "target7"

    def test_system_calls(self, tmp_path: Path) -> None:
        """One stat(2), and as a rule one pread(2) for the hash table and one for the record."""
        items = {f"key{number}": f"{number} " * 200 for number in range(2000)}
        write_table(tmp_path / "table.cdb", items.items())
        table = table_of(tmp_path / "table.cdb")
        assert table.find("other") is None
        with patch("os.stat", wraps=os.stat) as stat, patch("os.pread", wraps=os.pread) as pread:
            assert judge(table, items) == len(items)
            calls = pread.call_count
            assert stat.call_count == len(items)
            assert calls < 2.2 * len(items)
            for _ in range(50):
                assert table.find("key1999")
            assert pread.call_count == calls  # what was used last is kept

    def test_it_takes_parts_of_addresses(self, file: Path) -> None:
        assert table_of(file).takes_parts


class TestDamage:
    def test_truncated_at_any_length(self, file: Path) -> None:
        whole = file.read_bytes()
        table = table_of(file)
        for length in reversed(range(len(whole))):
            os.truncate(file, length)  # while the table is open
            assert "run mta map build cdb:" in failure(table), length
        file.write_bytes(whole)
        assert judge(table, ITEMS) == len(ITEMS)

    def test_any_octet_changed(self, file: Path) -> None:
        whole = file.read_bytes()
        for place in range(len(whole)):
            damaged = bytearray(whole)
            damaged[place] ^= 0xFF
            file.write_bytes(damaged)
            assert judge(table_of(file), ITEMS) == 0, place

    @given(data=st.data())
    @settings(deadline=None, max_examples=40)
    def test_octets_changed_in_a_table_of_many_blocks(self, data: st.DataObject) -> None:
        items = {f"user{number}@example.org": f"target{number} " * 9 for number in range(300)}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "table.cdb")
            write_table(file, items.items())
            damaged = bytearray(file.read_bytes())
            for place in data.draw(
                st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=9, unique=True)
            ):
                damaged[place] ^= data.draw(st.integers(1, 255))
            file.write_bytes(damaged)
            assert judge(table_of(file), items) < len(items)

    def test_damage_of_one_block_leaves_the_others_readable(self, tmp_path: Path) -> None:
        items = {f"user{number}@example.org": f"target{number} " * 99 for number in range(300)}
        file = tmp_path / "table.cdb"
        write_table(file, items.items())
        with open(file, "r+b") as opened:
            opened.seek(10 * BLOCK_SIZE + 5)
            opened.write(b"\xff")
        assert len(items) - 9 < judge(table_of(file), items) < len(items)

    def test_damaged_below_an_open_table(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As a disk does it: nothing but the octets tell of it."""
        items = {f"user{number}@example.org": f"target{number} " * 99 for number in range(300)}
        write_table(file, items.items())
        table = table_of(file)
        assert table.find("nobody") is None
        stamp = table._stamp()
        monkeypatch.setattr(table, "_stamp", lambda: stamp)
        os.truncate(file, 3 * BLOCK_SIZE)
        assert judge(table, items) < len(items)

    def test_mended_in_place(self, file: Path) -> None:
        whole = file.read_bytes()
        table = table_of(file)
        file.write_bytes(bytes(len(whole)))
        assert failure(table)
        file.write_bytes(whole)
        assert table.find(SOME) == "target7"

    @pytest.mark.parametrize(
        ("cdb", "reason"),
        [
            (hash_tables(DIRECTORY_SIZE, 1) + PAIR.pack(0, 1), "a hash table in it has no end"),
            (
                hash_tables(DIRECTORY_SIZE, 2**29) + PAIR.pack(0, 1) * 2 * PROBE_LIMIT,
                "it points beyond its end",
            ),
            (hash_tables(2**32 - 8, 1), "it points beyond its end"),
            (
                hash_tables(DIRECTORY_SIZE, 1) + PAIR.pack(hash_of(SOME.encode()), 2**31),
                "it points beyond its end",
            ),
            (
                hash_tables(DIRECTORY_SIZE, 1)
                + PAIR.pack(hash_of(SOME.encode()), DIRECTORY_SIZE + PAIR.size)
                + LENGTHS.pack(len(SOME), VALUE_LIMIT + 1)
                + SOME.encode(),
                "a value has 50001 octets",
            ),
            (
                hash_tables(DIRECTORY_SIZE, 1)
                + PAIR.pack(hash_of(SOME.encode()), DIRECTORY_SIZE + PAIR.size)
                + LENGTHS.pack(len(SOME), 1)
                + SOME.encode()
                + b"\xff",
                "a value is no UTF-8",
            ),
        ],
    )
    def test_sums_that_hold_over_nonsense(self, tmp_path: Path, cdb: bytes, reason: str) -> None:
        (tmp_path / "table.cdb").write_bytes(sealed(cdb))
        assert reason in failure(table_of(tmp_path / "table.cdb"))

    def test_another_version(self, file: Path) -> None:
        whole = bytearray(file.read_bytes())
        whole[8 - FOOT_SIZE] = VERSION + 1
        whole[-4:] = zlib.crc32(whole[-FOOT_SIZE:-4]).to_bytes(4, "little")
        file.write_bytes(whole)
        assert f"it is of another version ({VERSION + 1})" in failure(table_of(file))


class TestReplacement:
    def test_by_rename_while_open(self, file: Path) -> None:
        table = table_of(file)
        assert table.find(SOME) == "target7"
        before = table.identity()
        assert table.identity() == before
        write_table(file.with_name("new"), [(SOME, "other")])
        os.rename(file.with_name("new"), file)
        assert table.identity() != before
        assert table.find(SOME) == "other"
        assert table.find("user8@example.org") is None

    def test_in_place_with_the_old_times(self, file: Path) -> None:
        """What `cp -p` does to a table of the same size."""
        table = table_of(file)
        assert table.find(SOME) == "target7"
        before, found = table.identity(), file.stat()
        write_table(file, [(key, value.upper()) for key, value in ITEMS.items()])
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert file.stat().st_size == found.st_size
        assert table.identity() != before
        assert table.find(SOME) == "TARGET7"

    def test_two_readers_agree_on_its_identity(self, file: Path) -> None:
        assert table_of(file).identity() == table_of(file).identity()

    def test_it_vanishes_and_comes_back(self, file: Path) -> None:
        whole = file.read_bytes()
        table = table_of(file)
        assert table.find(SOME) == "target7"
        file.unlink()
        said = f"{file}: there is no such file: run mta map build cdb:{file.with_suffix('')}"
        assert said in failure(table)
        with pytest.raises(TableError, match="there is no such file"):
            table.identity()
        file.write_bytes(whole)
        assert table.find(SOME) == "target7"

    def test_by_a_folder(self, file: Path) -> None:
        table = table_of(file)
        assert table.find(SOME) == "target7"
        file.unlink()
        file.mkdir()
        assert "it is a directory: run mta map build" in failure(table)

    def test_by_a_fifo(self, file: Path) -> None:
        table = table_of(file)
        assert table.find(SOME) == "target7"
        file.unlink()
        os.mkfifo(file)
        assert "it is a FIFO: run mta map build" in failure(table)

    def test_by_a_link_that_leads_to_itself(self, file: Path) -> None:
        table = table_of(file)
        file.unlink()
        file.symlink_to(file.name)
        assert "Too many levels of symbolic links" in failure(table)

    def test_a_name_that_no_file_has(self) -> None:
        assert "embedded null byte" in failure(ConstantTable("/tmp/table\0"))

    def test_by_text(self, file: Path) -> None:
        table = table_of(file)
        file.write_text("user7@example.org target7\n")
        assert "it is truncated, or no table: run mta map build" in failure(table)

    def test_nothing_stays_open(self, file: Path) -> None:
        before = os.listdir("/proc/self/fd")
        table = table_of(file)
        assert table.find(SOME) == "target7"
        assert len(os.listdir("/proc/self/fd")) == len(before) + 1
        for content in (file.read_bytes(), b"damaged" * 1000, b""):
            file.write_bytes(content)
            with contextlib.suppress(TableError):
                table.find(SOME)
        assert len(os.listdir("/proc/self/fd")) == len(before)
        file.unlink()
        write_table(file, ITEMS.items())
        table.find(SOME)
        del table
        assert len(os.listdir("/proc/self/fd")) == len(before)


class TestPermission:
    def test_a_file_that_may_not_be_read(self) -> None:
        with reachable_folder() as folder:
            file = folder / "table.cdb"
            write_table(file, ITEMS.items())
            file.chmod(0)
            with ordinary_user():
                assert failure(table_of(file)).endswith("table.cdb: Permission denied")

    def test_a_folder_that_may_not_be_passed(self) -> None:
        with reachable_folder() as folder:
            write_table(folder / "table.cdb", ITEMS.items())
            folder.chmod(0)
            with ordinary_user():
                assert failure(table_of(folder / "table.cdb")).endswith(": Permission denied")
            folder.chmod(0o700)
