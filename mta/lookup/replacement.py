"""A table replaced while daemons read it: they see the old one or the new one, both whole.

The new one is written beside the old one, into `.NAME.new`, which is locked: two that build the
same table never write into one file. What a crash left there is used by the next who builds.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from mta.lookup.table import TableError

__all__ = ["replacing"]

_BUFFER = 1 << 20  # octets


@contextlib.contextmanager
def replacing(path: str, source: os.stat_result) -> Iterator[BinaryIO]:
    """A file to write, readable by its descriptor; at the end of the block it is at `path`.

    Its owner, group and mode are those of what it replaces, or else those of the source, but no
    others can write to it then. If the block raises, all is as it was, and so it is at an OSError,
    unless the folder cannot be synced: a crash may bring the old file back then. TableError if
    somebody else builds the same.
    """
    parent, name = os.path.split(path)
    folder = os.open(parent or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        temporary = f".{name}.new"
        with open(_open_locked(folder, temporary, path), "wb", buffering=_BUFFER) as file:
            try:
                os.fchmod(file.fileno(), 0o600)
                os.ftruncate(file.fileno(), 0)
                yield file
                file.flush()
                _give(file.fileno(), *_wanted(folder, name, source))
                os.fsync(file.fileno())
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):  # what went wrong first is to be told
                    os.unlink(temporary, dir_fd=folder)
                raise
        os.fsync(folder)
    finally:
        os.close(folder)


def _open_locked(folder: int, temporary: str, path: str) -> int:
    """The temporary file, ours alone as long as it is open."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise TableError(f"{path}: {temporary} beside it is somebody else's: remove that")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have become the table, or have been given up, before it was locked.
            named = os.stat(temporary, dir_fd=folder, follow_symlinks=False)
            if (named.st_dev, named.st_ino) != (found.st_dev, found.st_ino):
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            raise TableError(f"{path}: another process builds it: try again later") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _wanted(folder: int, name: str, source: os.stat_result) -> tuple[int, int, int]:
    """Owner, group and mode of the new file."""
    with contextlib.suppress(FileNotFoundError):
        old = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(old.st_mode):
            return old.st_uid, old.st_gid, stat.S_IMODE(old.st_mode)
    return source.st_uid, source.st_gid, 0o600 | source.st_mode & 0o044


def _give(descriptor: int, owner: int, group: int, mode: int) -> None:
    found = os.fstat(descriptor)
    if (owner, group) != (found.st_uid, found.st_gid):
        os.fchown(descriptor, owner, group)
    os.fchmod(descriptor, mode)
