"""Who may, and who could: judged by owners and modes."""

import os
import stat
from pathlib import Path

import pytest

from mta.util.ownership import ANY, Account, Ownership, account, components, may, stranger

USER = Account("user", 1000, (100, 200))
DIRECTORY, FILE, LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK


def found(kind: int, mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((kind | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "granted"),
    [
        (0o700, 1000, 0, True),
        (0o070, 1000, 100, False),  # the owner's bits alone decide for the owner
        (0o070, 0, 100, True),
        (0o070, 0, 200, True),
        (0o007, 0, 200, False),  # and the group's for its members
        (0o007, 0, 0, True),
        (0o770, 0, 0, False),
        (0o710, 0, 200, False),  # to pass is not to read
    ],
)
def test_what_a_user_may(mode: int, uid: int, gid: int, granted: bool) -> None:
    assert may(USER, found(DIRECTORY, mode, uid, gid), os.R_OK) is granted


def test_root_may_everything() -> None:
    assert may(Account("root", 0, (0,)), found(FILE, 0), os.R_OK | os.W_OK)


@pytest.mark.parametrize(
    ("status", "groups", "who"),
    [
        (found(FILE, 0o644), False, ""),
        (found(FILE, 0o644, uid=4711), False, "user 4711"),
        (found(FILE, 0o646), False, "everybody"),
        (found(FILE, 0o664, gid=4711), False, "group 4711"),
        (found(FILE, 0o664, gid=4711), True, ""),
        (found(FILE, 0o664, gid=0), False, ""),  # root's group is root
        (found(DIRECTORY, 0o777), True, "everybody"),
        (found(DIRECTORY, 0o1777), False, ""),  # names of others stay as they are
        (found(DIRECTORY, 0o1777, uid=4711), False, "user 4711"),
        (found(LINK, 0o777), False, ""),
    ],
)
def test_who_else_could_change_it(status: os.stat_result, groups: bool, who: str) -> None:
    assert stranger(status, frozenset({0}), groups=groups) == who


def test_ownership_is_compared_to_the_bit_and_shown_with_names() -> None:
    wanted = Ownership(0, 0, 0o1770)
    assert wanted.holds(found(DIRECTORY, 0o1770))
    assert not wanted.holds(found(DIRECTORY, 0o770))
    assert not wanted.holds(found(DIRECTORY, 0o1770, gid=1))
    assert Ownership(0, ANY, 0o700).holds(found(DIRECTORY, 0o700, gid=1))
    assert str(wanted) == "owner root, group root, mode 1770"
    assert wanted.commands == "chown root:root, chmod 1770"
    assert str(Ownership(4711, ANY, 0o600)) == "owner 4711, mode 0600"


def test_the_way_to_a_file_is_the_real_one(tmp_path: Path) -> None:
    real = tmp_path.resolve()
    (real / "folder").mkdir()
    (real / "link").symlink_to(real / "folder")
    parts = list(components(str(real / "link" / "file")))
    assert parts[0] == "/"
    assert parts[-3:] == [str(real), str(real / "folder"), str(real / "folder" / "file")]
    assert list(components("/")) == ["/"]


def test_the_primary_group_comes_first() -> None:
    assert account("root").uid == 0
    assert account("root").groups[0] == 0
    with pytest.raises(KeyError):
        account("nobody-here")
