"""Who owns a file, who may use it and who could change it: expectations, and what a host has.

Numbers are compared and names are shown. Modes decide, as they do for the kernel where there are no
access control lists; what an operator granted by one of those is not seen here.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

__all__ = ["ANY", "Account", "Ownership", "account", "components", "described", "may", "stranger"]

ANY: Final = -1  # a group that does not matter, as in chown(2)
_ROOT: Final = 0


class Ownership(Struct, frozen=True):
    """What a file or folder must be: user id, group id, all twelve mode bits."""

    owner: int
    group: int
    mode: int

    def holds(self, found: os.stat_result) -> bool:
        """Whether it is so."""
        return self.owned(found) and stat.S_IMODE(found.st_mode) == self.mode

    def owned(self, found: os.stat_result) -> bool:
        """Whether owner and group are so."""
        return found.st_uid == self.owner and self.group in (ANY, found.st_gid)

    @property
    def commands(self) -> str:
        """What an operator does to make it so."""
        group = "" if self.group == ANY else f":{_group_name(self.group)}"
        return f"chown {_user_name(self.owner)}{group}, chmod {self.mode:04o}"

    def __str__(self) -> str:
        group = "" if self.group == ANY else f"group {_group_name(self.group)}, "
        return f"owner {_user_name(self.owner)}, {group}mode {self.mode:04o}"


class Account(Struct, frozen=True):
    """A user as the kernel sees the user's processes; the primary group comes first in `groups`."""

    name: str
    uid: int
    groups: tuple[int, ...]


def account(name: str) -> Account:
    """The user of that name; KeyError if the host has none."""
    entry = pwd.getpwnam(name)
    others = set(os.getgrouplist(name, entry.pw_gid)) - {entry.pw_gid}
    return Account(name, entry.pw_uid, (entry.pw_gid, *sorted(others)))


def described(found: os.stat_result) -> str:
    """Owner, group and mode of what was found: `root root 0755`."""
    mode = stat.S_IMODE(found.st_mode)
    return f"{_user_name(found.st_uid)} {_group_name(found.st_gid)} {mode:04o}"


def may(user: Account, found: os.stat_result, wanted: int) -> bool:
    """Whether the user has these permissions (os.R_OK, os.W_OK, os.X_OK) on it."""
    if user.uid == _ROOT:
        return True
    if found.st_uid == user.uid:
        granted = found.st_mode >> 6
    elif found.st_gid in user.groups:
        granted = found.st_mode >> 3
    else:
        granted = found.st_mode
    return granted & wanted == wanted


def components(path: str) -> Iterator[str]:
    """The real path, from / down: whoever can change one of these can change what is meant."""
    real = os.path.realpath(path)
    yield "/"
    for end in range(1, len(real)):
        if real[end] == "/":
            yield real[:end]
    if real != "/":
        yield real


def stranger(found: os.stat_result, trusted: frozenset[int], *, groups: bool) -> str:
    """Who else could change what was found, or nothing.

    Members of its group count unless `groups` are trusted or the group is root's. In a sticky
    folder strangers only add names of their own.
    """
    mode = found.st_mode
    if stat.S_ISLNK(mode):
        mode = 0  # a link has no permissions of its own
    if stat.S_ISDIR(mode) and mode & stat.S_ISVTX:
        mode = 0
    if found.st_uid not in trusted:
        return f"user {_user_name(found.st_uid)}"
    if mode & stat.S_IWOTH:
        return "everybody"
    if mode & stat.S_IWGRP and not groups and found.st_gid != _ROOT:
        return f"group {_group_name(found.st_gid)}"
    return ""


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
