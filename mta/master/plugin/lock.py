"""One master in a queue directory: a lock that lives exactly as long as its process."""

import fcntl
import os
import time
from typing import Final

from mta.util.house import MASTER_LOCK

__all__ = ["MasterLockedError", "take_master_lock"]

LOCK_PATIENCE: Final = 10.0  # seconds; a master that is just ending needs a moment
_PAUSE: Final = 0.1


class MasterLockedError(Exception):
    """Another master runs here; the text names it."""


def take_master_lock(path: str = MASTER_LOCK, patience: float = LOCK_PATIENCE) -> int:
    """Take the lock and return its descriptor, to be kept open; the file holds our pid."""
    deadline = time.monotonic() + patience
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                os.close(descriptor)
                raise MasterLockedError(
                    f"{path} is locked by process {holder or '?'}: another master runs here"
                ) from error
            time.sleep(_PAUSE)
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
