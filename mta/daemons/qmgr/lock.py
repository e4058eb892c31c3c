"""One queue manager a queue: whoever holds the lock on `pid/qmgr.lock`.

The law: without the lock no queue file is touched. The kernel drops the lock with the process that
holds it, however that ends. The file bears its holder's process id, for people.
"""

import asyncio
import errno
import fcntl
import os
import time
from typing import Final, Self

from mta.util.house import QMGR_LOCK

__all__ = ["QueueLock", "QueueLockedError"]

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_PAUSE: Final = 0.1  # seconds between two looks


class QueueLockedError(BlockingIOError):
    """Another queue manager works on this queue."""

    def __init__(self, holder: str) -> None:
        super().__init__(errno.EWOULDBLOCK, f"held by process {holder or '?'}", QMGR_LOCK)


class QueueLock:
    """The lock, held until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    async def acquire(cls, patience: float) -> Self:
        """Take the lock; wait at most `patience` seconds for a predecessor to end.

        QueueLockedError when it does not; OSError when the file cannot be used at all.
        """
        descriptor = os.open(QMGR_LOCK, _FLAGS, 0o600)
        try:
            deadline = time.monotonic() + patience
            while not _try_lock(descriptor):
                if time.monotonic() >= deadline:
                    holder = os.pread(descriptor, 20, 0).decode("ascii", "replace")
                    raise QueueLockedError(holder.strip())
                await asyncio.sleep(_PAUSE)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
