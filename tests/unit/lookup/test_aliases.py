"""The file of aliases(5) as a table, and compiled; the users of the host as another one."""

import ctypes
import errno
import io
import os
import pwd
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.lookup.accounts import AccountTable
from mta.lookup.aliases import AliasTable, read_aliases
from mta.lookup.compile import compile_table
from mta.lookup.constant import ConstantTable
from mta.lookup.lines import SourceError
from mta.lookup.source import Entry
from mta.lookup.table import TableError
from mta.util import accounts

ALIASES = """\
# who is who
postmaster: root
Root:  ann,
    bob@example.org   # no comment

"list of all" : :include:/etc/list
"a\\"b": "|/bin/x -y"
dev:null : /dev/null
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "aliases").write_text(ALIASES.replace("dev:null", '"dev:null"'))
    return str(tmp_path / "aliases")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("postmaster", "root"),
        ("ROOT", "ann,    bob@example.org   # no comment"),
        ("list of all", ":include:/etc/list"),
        ('a"b', '"|/bin/x -y"'),
        ("dev:null", "/dev/null"),
        ("nobody", None),
    ],
)
def test_a_name_and_its_value(path: str, name: str, value: str | None) -> None:
    assert AliasTable(path).find(name) == value
    compile_table(path, read=read_aliases)
    assert ConstantTable(path).find(name) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bob ann\n", ":1:1: expected NAME: VALUE"),
        ("a: b\nbob:\n", ":2:5: expected NAME: VALUE, got no value"),
        (": b\n", ":1:1: expected NAME: VALUE"),
        ('"": b\n', ":1:1: expected a name of at most 1024 characters"),
        ("two words: b\n", ":1:1: expected NAME: VALUE"),
        ('"open: b\n', ":1:1: expected NAME: VALUE"),
        ("a: " + "b" * 50_001, ":1:4: expected a value of at most 50000 octets"),
        ("a: \xff", ":1:4: expected UTF-8"),
    ],
)
def test_a_line_that_is_wrong_is_no_missing_name(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "aliases").write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceError) as raised:
        AliasTable(str(tmp_path / "aliases")).find("x")
    assert problem in str(raised.value)


def test_a_change_counts_at_once(path: str) -> None:
    table = AliasTable(path)
    before = table.identity()
    assert table.find("new") is None
    Path(f"{path}.new").write_text("new: ann\n")
    os.replace(f"{path}.new", path)
    assert table.find("new") == "ann"
    assert table.identity() != before


@given(st.binary(max_size=200))
def test_any_octets_are_aliases_or_a_clear_error(octets: bytes) -> None:
    wrong: list[SourceError] = []
    entries = list(
        read_aliases(io.BytesIO(octets.removeprefix(b"\xef\xbb\xbf")), "f", wrong.append)
    )
    assert all(isinstance(it, Entry) and it.key and it.value for it in entries)
    assert all(str(it).startswith("f:") for it in wrong)


def test_a_user_of_this_host() -> None:
    own = pwd.getpwuid(os.geteuid())
    found = AccountTable().find(own.pw_name.upper())
    assert found == f"{own.pw_name}:x:{own.pw_uid}:{own.pw_gid}::{own.pw_dir}:{own.pw_shell}"


@pytest.mark.parametrize(
    "name", ["no-such-user-here", "", "a@b", "../x", "a" * 40, "\u00e4", "a\n"]
)
def test_nobody_of_this_host(name: str) -> None:
    assert AccountTable().find(name) is None


@pytest.mark.parametrize("number", [errno.EIO, errno.ECONNREFUSED, errno.EAGAIN, errno.EACCES])
def test_a_directory_server_that_is_away_is_no_missing_user(number: int) -> None:
    with (
        mock.patch.object(accounts, "_libc", mock.Mock(getpwnam_r=lambda *_: number)),
        pytest.raises(TableError, match=r"unix:passwd\.byname: ."),
    ):
        AccountTable().find("bob")


def test_a_long_entry_is_asked_for_again_with_room() -> None:
    real = ctypes.CDLL(None).getpwuid_r
    sizes = []

    def small(*arguments: object) -> int:
        size = arguments[3]
        assert isinstance(size, ctypes.c_size_t)
        sizes.append(size.value)
        return errno.ERANGE if len(sizes) == 1 else int(real(*arguments))

    with mock.patch.object(accounts, "_libc", mock.Mock(getpwuid_r=small)):
        found = accounts.account_by_uid(0)
    assert found is not None
    assert found.name == "root"
    assert sizes == [4096, 8192]
