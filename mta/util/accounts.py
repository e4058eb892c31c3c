"""The host's user database, asked so that "no such user" and "nobody can say" are two answers.

Python's pwd takes an unreachable directory server for a user who does not exist, and mail would be
refused by that. Calls may take as long as that server: nothing for an event loop.
"""

import ctypes
import errno
import os
import re
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

__all__ = ["ACCOUNT_NAME", "Account", "account_by_name", "account_by_uid"]

# What useradd(8) lets a name be, and a little more; nothing that could be part of a path.
ACCOUNT_NAME: Final = re.compile(r"[a-zA-Z_0-9][a-zA-Z0-9._-]{0,30}\$?", re.ASCII)

_FIRST_SIZE: Final = 4096  # octets of the entry's texts
_SIZE_LIMIT: Final = 1 << 20
# getpwnam(3): what implementations say of a name that is not there, beside nothing at all.
_NOT_FOUND: Final = frozenset((0, errno.ENOENT, errno.ESRCH))


class Account(Struct, frozen=True):
    """One user of the host."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


class _Entry(ctypes.Structure):
    """struct passwd (pwd.h)."""

    _fields_ = (
        ("pw_name", ctypes.c_char_p),
        ("pw_passwd", ctypes.c_char_p),
        ("pw_uid", ctypes.c_uint),
        ("pw_gid", ctypes.c_uint),
        ("pw_gecos", ctypes.c_char_p),
        ("pw_dir", ctypes.c_char_p),
        ("pw_shell", ctypes.c_char_p),
    )


_libc = ctypes.CDLL(None)


def account_by_name(name: str) -> Account | None:
    """The user of that name, or None; OSError if the database cannot say."""
    if not ACCOUNT_NAME.fullmatch(name):
        return None
    return _find(_libc.getpwnam_r, ctypes.c_char_p(name.encode("ascii")))


def account_by_uid(uid: int) -> Account | None:
    """A user with that number, or None; OSError if the database cannot say."""
    return _find(_libc.getpwuid_r, ctypes.c_uint(uid))


def _find(call: Callable[..., Any], key: object) -> Account | None:
    size = _FIRST_SIZE
    while True:
        entry, found = _Entry(), ctypes.c_void_p()
        texts = ctypes.create_string_buffer(size)
        number = call(key, ctypes.byref(entry), texts, ctypes.c_size_t(size), ctypes.byref(found))
        if number == errno.ERANGE and size < _SIZE_LIMIT:
            size *= 2
        elif found:
            return _account(entry)
        elif number in _NOT_FOUND:
            return None
        elif number != errno.EINTR:
            raise OSError(number, os.strerror(number))


def _account(entry: _Entry) -> Account:
    return Account(
        os.fsdecode(entry.pw_name or b""),
        entry.pw_uid,
        entry.pw_gid,
        os.fsdecode(entry.pw_dir or b""),
        os.fsdecode(entry.pw_shell or b""),
    )
