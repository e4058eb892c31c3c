"""`mta map build`: the new table is there at once and whole, or the old one stays."""

import errno
import fcntl
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.postmap import POSTFIX_CDB, Postmap, tiny_query

from mta.lookup import compile as compiling
from mta.lookup.compile import Compiled, compile_table
from mta.lookup.constant import ConstantTable
from mta.lookup.fold import fold
from mta.lookup.table import TableError
from mta.lookup.writer import ConstantWriter, Repeated

SOURCE = """\
# who is who
Alice@example.org   alice
bob@example.org
    bob,
    robert
alice@example.org   other
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "table"
    path.write_text(SOURCE)
    return path


def refusal(source: Path) -> str:
    with pytest.raises(TableError) as caught:
        compile_table(str(source))
    return str(caught.value)


def left(source: Path) -> list[str]:
    """What lies beside the source."""
    return sorted(set(os.listdir(source.parent)) - {source.name})


class TestTheTable:
    def test_records_and_keys_that_come_again(self, source: Path) -> None:
        done = compile_table(str(source))
        assert done == Compiled(f"{source}.cdb", 2, (Repeated("alice@example.org", 6, 2),))
        table = ConstantTable(str(source))
        assert table.find("alice@EXAMPLE.org") == "alice"
        assert table.find("bob@example.org") == "bob,    robert"
        assert left(source) == ["table.cdb"]

    def test_an_open_table_is_replaced_at_once(self, source: Path) -> None:
        compile_table(str(source))
        table = ConstantTable(str(source))
        assert table.find("alice@example.org") == "alice"
        source.write_text("alice@example.org new\n")
        assert table.find("alice@example.org") == "alice"
        compile_table(str(source))
        assert table.find("alice@example.org") == "new"
        assert table.find("bob@example.org") is None

    def test_who_reads_meanwhile_sees_old_or_new(self, source: Path) -> None:
        compile_table(str(source))
        table = ConstantTable(str(source))
        values = {"alice"}
        with ThreadPoolExecutor(1) as pool:
            for number in range(30):
                source.write_text(f"alice@example.org {number}\n" * (1 + number % 2))
                building = pool.submit(compile_table, str(source))
                values.add(str(number))
                while not building.done():
                    assert table.find("alice@example.org") in values
                building.result()
                assert table.find("alice@example.org") == str(number)
                values = {str(number)}

    def test_progress_is_told(self, source: Path) -> None:
        told: list[tuple[int, int]] = []
        source.write_text("".join(f"key{number} value\n" for number in range(30_000)))
        compile_table(str(source), lambda *octets: told.append(octets))
        size = source.stat().st_size
        assert [whole for _, whole in told] == [size, size, size]
        assert 0 < told[0][0] < told[1][0] < told[2][0] == size

    def test_an_empty_source(self, source: Path) -> None:
        source.write_text("# nobody yet\n")
        assert compile_table(str(source)).records == 0
        assert ConstantTable(str(source)).find("alice@example.org") is None


class TestRefusals:
    """Each leaves the old table, and nothing else."""

    @pytest.fixture(autouse=True)
    def old(self, source: Path) -> None:
        compile_table(str(source))

    def test_a_line_that_is_wrong(self, source: Path) -> None:
        source.write_text("alice@example.org new\nbob@example.org\n")
        assert refusal(source).startswith(f"{source}:2:")
        self.check_old(source)

    def test_a_source_that_is_not_there(self, source: Path) -> None:
        source.unlink()
        assert refusal(source) == f"cdb:{source}: {source}: No such file or directory"
        self.check_old(source)

    def test_a_source_that_is_a_fifo(self, source: Path) -> None:
        source.unlink()
        os.mkfifo(source)
        assert refusal(source) == f"cdb:{source}: {source} is a FIFO: expected a file"
        self.check_old(source)

    def test_a_source_that_changes_meanwhile(
        self, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Writer(ConstantWriter):
            def finish(self) -> list[Repeated]:
                (source.parent / "saved").write_text("alice@example.org new\n")
                os.rename(source.parent / "saved", source)
                return super().finish()

        monkeypatch.setattr(compiling, "ConstantWriter", Writer)
        assert refusal(source).endswith("was changed while it was read: try again")
        self.check_old(source)

    def test_what_fits_no_table(self, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Writer(ConstantWriter):
            def __init__(self, file: BinaryIO) -> None:
                super().__init__(file, 2200)

        monkeypatch.setattr(compiling, "ConstantWriter", Writer)
        source.write_text("".join(f"key{number} value\n" for number in range(10)))
        assert refusal(source) == f"{source}:4:6: a table of more than 2200 octets"
        self.check_old(source)

    @pytest.mark.parametrize("call", ["fchmod", "fsync", "rename"])
    def test_a_system_call_that_fails(
        self, source: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, call, fail)
        source.write_text("alice@example.org new\n")
        assert refusal(source) == f"cdb:{source}: No space left on device"
        monkeypatch.undo()
        self.check_old(source)

    def test_somebody_builds_it_already(self, source: Path) -> None:
        with open(source.parent / ".table.cdb.new", "wb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            said = f"{source}.cdb: another process builds it: try again later"
            assert refusal(source) == said
        assert left(source) == [".table.cdb.new", "table.cdb"]

    def test_a_link_in_the_way_is_not_followed(self, source: Path) -> None:
        (source.parent / "precious").write_text("precious")
        (source.parent / ".table.cdb.new").symlink_to("precious")
        assert refusal(source).endswith(".table.cdb.new: Too many levels of symbolic links")
        assert (source.parent / "precious").read_text() == "precious"

    def test_a_folder_in_its_place(self, source: Path) -> None:
        (source.parent / "table.cdb").unlink()
        (source.parent / "table.cdb").mkdir()
        assert refusal(source).endswith(": Is a directory")
        assert left(source) == ["table.cdb"]

    @pytest.mark.requires("root")
    def test_a_file_of_somebody_else_in_the_way(self, source: Path) -> None:
        (source.parent / ".table.cdb.new").touch()
        os.chown(source.parent / ".table.cdb.new", 54321, 54321)
        assert refusal(source).endswith(".table.cdb.new beside it is somebody else's: remove that")

    def check_old(self, source: Path) -> None:
        assert ConstantTable(str(source)).find("alice@example.org") == "alice"
        assert set(left(source)) == {"table.cdb"}


class TestOwnerAndMode:
    @pytest.mark.parametrize(
        ("mode", "expected"), [(0o644, 0o644), (0o600, 0o600), (0o640, 0o640), (0o666, 0o644)]
    )
    def test_a_new_table_is_as_readable_as_its_source(
        self, source: Path, mode: int, expected: int
    ) -> None:
        source.chmod(mode)
        compile_table(str(source))
        assert stat.S_IMODE(os.stat(f"{source}.cdb").st_mode) == expected

    def test_the_mode_that_an_operator_gave_it_stays(self, source: Path) -> None:
        compile_table(str(source))
        os.chmod(f"{source}.cdb", 0o640)
        compile_table(str(source))
        assert stat.S_IMODE(os.stat(f"{source}.cdb").st_mode) == 0o640

    @pytest.mark.requires("root")
    def test_owners(self, source: Path) -> None:
        os.chown(source, 54321, 54322)
        compile_table(str(source))
        found = os.stat(f"{source}.cdb")
        assert (found.st_uid, found.st_gid) == (54321, 54322)
        os.chown(f"{source}.cdb", 0, 54323)
        compile_table(str(source))
        found = os.stat(f"{source}.cdb")
        assert (found.st_uid, found.st_gid) == (0, 54323)

    def test_what_a_crash_left_is_no_obstacle(self, source: Path) -> None:
        (source.parent / ".table.cdb.new").write_bytes(b"half a table" * 1000)
        compile_table(str(source))
        assert left(source) == ["table.cdb"]
        assert ConstantTable(str(source)).find("alice@example.org") == "alice"


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='#"\\'),
    min_size=1,
    max_size=12,
)
SOURCES = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=30)
RELAXED = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class TestOthers:
    """What other programs make of ours, and ours of theirs."""

    @pytest.mark.requires(*POSTFIX_CDB)
    def test_postfix_reads_ours_as_its_own(self, tmp_path: Path) -> None:
        postmap = Postmap(tmp_path)
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"

        @RELAXED
        @given(SOURCES)
        def agree(entries: list[tuple[str, str]]) -> None:
            for path in (ours, theirs):
                path.write_text("".join(f"{key} {value}\n" for key, value in entries))
            repeated = compile_table(str(ours)).repeated
            warnings = postmap.build(f"cdb:{theirs}")
            assert warnings.count("duplicate entry") == len(repeated)
            table = ConstantTable(str(ours))
            keys = {form for key, _ in entries for form in (key, key.upper(), fold(key), f"{key}x")}
            found = {key: value for key in keys if (value := table.find(key)) is not None}
            assert postmap.query(f"cdb:{ours}", keys) == found
            assert postmap.query(f"cdb:{theirs}", keys) == found

        agree()

    @pytest.mark.requires("cdb")
    def test_tinycdb_reads_ours(self, source: Path) -> None:
        source.write_text("".join(f"key{number} value {number}\n" for number in range(5000)))
        compile_table(str(source))
        for key, value in {"key0": "value 0", "key4999": "value 4999", "key5000": None}.items():
            assert tiny_query(Path(f"{source}.cdb"), key) == value

    @pytest.mark.requires(*POSTFIX_CDB)
    def test_what_postmap_made_is_refused_with_the_way_out(
        self, tmp_path: Path, source: Path
    ) -> None:
        Postmap(tmp_path).build(f"cdb:{source}")
        table = ConstantTable(str(source))
        with pytest.raises(TableError) as caught:
            table.find("alice@example.org")
        assert str(caught.value) == (
            f"cdb:{source}: {source}.cdb: it was made by another program: it has no checksums: "
            f"run mta map build cdb:{source}"
        )
        compile_table(str(source))
        assert table.find("alice@example.org") == "alice"
