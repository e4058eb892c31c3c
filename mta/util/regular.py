"""Reading a file that an operator named: whatever it is, the reader neither hangs nor swells."""

import os
import stat
from typing import Final

__all__ = ["NotRegularError", "TooLargeError", "open_regular", "read_regular"]

_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegularError(Exception):
    """The file is none that has an end; the text is what it is."""


class TooLargeError(Exception):
    """There is more of it than was wanted."""


def open_regular(path: str) -> int:
    """A descriptor to read a regular file; OSError if it cannot be opened."""
    if "\0" in path:
        raise FileNotFoundError(2, "no file has a NUL in its name", path)
    # Nobody may ever write to a FIFO, and a terminal must not become ours.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags)
    except OSError:
        # A socket cannot be opened at all, and the error does not say why.
        _refuse(_mode(path))
        raise
    try:
        _refuse(os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: str, limit: int) -> bytes:
    """The content of a regular file of at most `limit` octets; OSError if it cannot be read."""
    with open(open_regular(path), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise TooLargeError(f"more than {limit} octets")
    return data


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0


def _refuse(mode: int) -> None:
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise NotRegularError(name)
