"""Landlock (landlock(7)): the process gives up all files and TCP ports but those named.

    ABI 2 (Linux 5.19)   files; renames between directories. Less than this is as good as none:
                         under ABI 1 no file could ever move from one queue directory to another
    ABI 3 (6.2)          truncation          ABI 5 (6.10)   ioctl on devices
    ABI 4 (6.7)          TCP ports           ABI 6 (6.12)   abstract UNIX sockets, signals

Descriptors that are open already stay as they are, and connecting to UNIX sockets in the file
system is not restricted. What is given up is given up for all later threads and children too.
"""

import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

from mta.util.distant import Opened
from mta.util.libc import system_call

__all__ = ["LEAST_ABI", "landlock_abi", "restrict"]

LEAST_ABI: Final = 2

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1  # flag of landlock_create_ruleset
_PATH_BENEATH: Final = 1
_NET_PORT: Final = 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << n for n in range(6))
_MAKE_DIR, _MAKE_REG, _MAKE_SOCKET, _MAKE_PIPE = 1 << 7, 1 << 8, 1 << 9, 1 << 10
_MAKE_LINK: Final = 1 << 12
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_ALL_OF_ABI_1: Final = (1 << 13) - 1
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPES: Final = 1 << 0 | 1 << 1  # abstract UNIX sockets; signals

_FILE_RIGHTS: Final = _WRITE_FILE | _READ_FILE | _TRUNCATE  # what a rule on a plain file may hold
_READ: Final = _READ_FILE | _READ_DIR
_WRITE: Final = (
    _READ | _WRITE_FILE | _TRUNCATE | _MAKE_DIR | _MAKE_REG | _REMOVE_DIR | _REMOVE_FILE | _REFER
)
_MOVE: Final = _MAKE_SOCKET | _MAKE_PIPE | _MAKE_LINK  # a rename makes it where it goes


def landlock_abi() -> int:
    """The kernel's Landlock ABI; 0 where it has none or has it switched off."""
    try:
        return system_call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(
    *,
    read: Iterable[str],
    write: Iterable[str | Opened],
    move: Iterable[str | Opened] = (),
    execute: Iterable[str] = (),
    tcp_connect: Iterable[int] | None,
) -> None:
    """Allow reading below `read`, all but execution below `write`, connecting to those TCP ports.

    Below `execute` files may be read and executed.

    Below `write` only plain files and folders may be made; below `move` symbolic links, pipes and
    sockets, which a rename from one of the folders to another needs too: never devices.

    Where `tcp_connect` is None, any port may be connected to; none may be bound in either case.
    What the kernel's ABI does not know stays allowed. The process must have no_new_privs. OSError
    names the path that could not be granted.
    """
    abi = landlock_abi()
    files = _handled(abi)
    # There is no rule for all ports: what is to stay free is not handled at all.
    tcp = _BIND_TCP if tcp_connect is None else _BIND_TCP | _CONNECT_TCP
    ports = tcp if abi >= 4 else 0
    attributes = struct.pack("=QQQ", files, ports, _SCOPES if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = system_call(_CREATE_RULESET, attributes, size, 0)
    try:
        for path in read:
            _grant(ruleset, path, _READ & files)
        for path in execute:
            _grant(ruleset, path, (_READ | _EXECUTE) & files)
        for place in write:
            _grant(ruleset, place, _WRITE & files)
        for place in move:
            _grant(ruleset, place, _MOVE & files)
        for port in tcp_connect if tcp_connect and ports else ():
            rule = struct.pack("=QQ", _CONNECT_TCP, port)
            system_call(_ADD_RULE, ruleset, _NET_PORT, rule, 0)
        system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _handled(abi: int) -> int:
    return (
        _ALL_OF_ABI_1 | _REFER | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL_DEVICE if abi >= 5 else 0)
    )


def _grant(ruleset: int, place: str | Opened, rights: int) -> None:
    if isinstance(place, Opened):
        _grant_opened(ruleset, place, rights)
        return
    descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    try:
        _grant_opened(ruleset, Opened(place, descriptor, os.fstat(descriptor)), rights)
    finally:
        os.close(descriptor)


def _grant_opened(ruleset: int, place: Opened, rights: int) -> None:
    if not stat.S_ISDIR(place.status.st_mode):
        rights &= _FILE_RIGHTS
    rule = struct.pack("=Qi", rights, place.descriptor)
    try:
        system_call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, place.path) from error
