"""The maildrop itself: what lies there, and how it goes. Everything here may block.

The law: a name is all that is ever trusted, and only to be opened; no link is followed, and what is
no file of sendmail's is moved as it is, unopened. A file server may lose an answer: what was to be
removed and is gone was removed.
"""

import errno
import os
import stat
from collections.abc import Container, Iterable
from contextlib import suppress
from typing import Final

from msgspec import Struct

from mta.daemons.pickup.turns import TurnLimits, Turns
from mta.queue.errors import QueueFileMissing
from mta.queue.maildrop import DroppedMessage, is_dropped_name, open_dropped
from mta.queue.store import QueueStore

__all__ = ["LEFTOVER_AGE", "Folder", "Look"]

LEFTOVER_AGE: Final = 36 * 3600.0  # seconds; more than any two clocks should differ

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PROBE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ASIDE: Final = ".corrupt"  # in the maildrop, where corrupt/ lies on another file system
_LIMIT: Final = 1000  # strange names, and leftovers, of one look
_READABLE: Final = 0o044  # for the folder's group, or for all


class Look(Struct):
    """What one look has found."""

    turns: Turns
    strange: list[str]  # names of what is no file of sendmail's
    leftovers: list[str]  # files in the making that seem forgotten
    failure: OSError | None = None  # the first of those that kept files from being looked at


class Folder:
    """The maildrop, opened for one round; OSError if it cannot be."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, _FOLDER)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def look(self, limits: TurnLimits, passed_over: Container[str], now: float) -> Look:
        """Find what is to be done; names of `passed_over` are none of it.

        `now` is in seconds since the epoch.
        """
        found = Look(Turns(limits), [], [])
        with os.scandir(self._descriptor) as entries:
            for entry in entries:
                if entry.name in passed_over:
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    found.failure = found.failure or error
                    continue
                self._sort(found, entry.name, status, now)
        return found

    def _sort(self, found: Look, name: str, status: os.stat_result, now: float) -> None:
        is_file = stat.S_ISREG(status.st_mode)
        if name.startswith("."):
            forgotten = is_file and now - status.st_ctime > LEFTOVER_AGE
            if forgotten and len(found.leftovers) < _LIMIT:
                found.leftovers.append(name)
        elif is_file and is_dropped_name(name):
            found.turns.add(status.st_uid, name, status.st_size)
        elif len(found.strange) < _LIMIT:
            found.strange.append(name)

    def open(self, name: str, size_limit: int) -> DroppedMessage:
        """Open a file: see `mta.queue.maildrop.open_dropped`."""
        return open_dropped(self._descriptor, name, size_limit)

    def is_closed_to_us(self, name: str) -> bool:
        """Whether it is by its own mode that a file cannot be read; OSError if that is unknown."""
        found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        return found.st_uid != os.geteuid() and not found.st_mode & _READABLE

    def remove(self, name: str) -> None:
        """Remove a file."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def set_aside(self, store: QueueStore, name: str) -> str:
        """Move what is no message out of the way; its new path.

        QueueFileMissing if there is nothing of that name; OSError if it cannot be moved: a folder
        of somebody else's, or a device.
        """
        try:
            return store.set_aside(self._descriptor, name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        return self._keep_here(name)

    def _keep_here(self, name: str) -> str:
        with suppress(FileExistsError):
            os.mkdir(_ASIDE, 0o700, dir_fd=self._descriptor)
        aside = os.open(_ASIDE, _FOLDER | os.O_NOFOLLOW, dir_fd=self._descriptor)
        try:
            if os.fstat(aside).st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, "is somebody else's", _ASIDE)
            kept = os.urandom(8).hex()
            os.rename(name, kept, src_dir_fd=self._descriptor, dst_dir_fd=aside)
        except FileNotFoundError:
            raise QueueFileMissing(name) from None
        finally:
            os.close(aside)
        return f"{_ASIDE}/{kept}"

    def sweep(self, names: Iterable[str]) -> list[str]:
        """Remove those files that are forgotten by the file system's own clock, too; their names.

        Only the time of an inode's last change counts, for no user can set that.
        """
        now = self._clock()
        removed = []
        for name in names:
            with suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and now - found.st_ctime > LEFTOVER_AGE:
                    os.unlink(name, dir_fd=self._descriptor)
                    removed.append(name)
        return removed

    def _clock(self) -> float:
        """The time by the clock of the file system, which may be another machine's."""
        name = f".pickup-{os.urandom(8).hex()}"
        descriptor = os.open(name, _PROBE, 0o600, dir_fd=self._descriptor)
        try:
            os.write(descriptor, b"?")
            os.fsync(descriptor)
            return os.fstat(descriptor).st_ctime
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._descriptor)
