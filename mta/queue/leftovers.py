"""Leftovers: unfinished files whose writers died. They are removed; all others are left alone.

The law: no file that somebody may still complete is removed, whatever a clock says. A writer has
its file open from the call that creates it until it is complete, and never opens it again. The
kernel gives a write lease (fcntl(2), F_SETLEASE) to nobody as long as anybody else has the file
open: so what is unfinished under our lease has no writer, and will have none. A writer that is
still within the call that creates its file has ten minutes for that, by a clock that stands still
while the machine sleeps.
"""

import fcntl
import os
import signal
import stat
import time
from collections.abc import Callable
from typing import Final

from mta.queue.layout import path_of
from mta.queue.reader import INCOMPLETE_MODE

__all__ = ["PATIENCE", "Leftovers", "is_unfinished"]

PATIENCE: Final = 600.0  # seconds between the first look at a file and its removal

_LIMIT: Final = 10_000  # files in memory; more wait until those are gone
_FLAGS: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def is_unfinished(found: os.stat_result) -> bool:
    """Whether this is a file that its writer has not yet completed."""
    return stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == INCOMPLETE_MODE


class Leftovers:
    """Remembers unfinished files of incoming/ from one scan to the next."""

    def __init__(self, root: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Files are named below the queue directory's descriptor `root`."""
        self._root = root
        self._clock = clock
        self._known: dict[str, float] = {}  # when each was first seen
        self._seen: dict[str, float] = {}  # those that the scan under way has met

    def begin_scan(self) -> None:
        """Forget the files that the last scan did not meet."""
        self._known, self._seen = self._seen, {}

    def remove(self, queue_id: str) -> bool:
        """Whether an unfinished file that a scan has met is removed now, for it is a leftover.

        OSError when it ought to be removed and cannot: some file systems give no lease.
        """
        now = self._clock()
        first = self._known.get(queue_id, now)
        if len(self._seen) < _LIMIT:
            self._seen[queue_id] = first
        return now - first >= PATIENCE and self._remove(path_of("incoming", queue_id))

    def _remove(self, path: str) -> bool:
        try:
            descriptor = os.open(path, _FLAGS, dir_fd=self._root)
        except FileNotFoundError:
            return False
        try:
            # Who opens the file now makes the kernel tell us so: by default with SIGIO, which would
            # end this process; SIGURG is ignored by default.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            if not is_unfinished(os.fstat(descriptor)):
                return False  # completed since the scan looked at it
            os.unlink(path, dir_fd=self._root)
        except (BlockingIOError, FileNotFoundError):
            return False  # somebody has it open; or an operator was faster
        finally:
            os.close(descriptor)
        return True
