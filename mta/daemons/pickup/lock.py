"""One reader of the maildrop at a time: whoever holds the lock on `pid/pickup.lock`.

The law: without the lock no file of the maildrop is touched, so that none is taken twice. It is
held for a round, for a retiring process may have clients long after its successor has begun. The
kernel drops it with the process that holds it.
"""

import asyncio
import fcntl
import os
from typing import Final

from mta.util.house import PICKUP_LOCK

__all__ = ["MaildropLock"]

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_PAUSE: Final = 0.1  # seconds between two attempts


class MaildropLock:
    """The lock of one process; OSError if its file cannot be used."""

    def __init__(self) -> None:
        self._descriptor = os.open(PICKUP_LOCK, _FLAGS, 0o600)

    async def acquire(self) -> None:
        """Wait until it is ours."""
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(_PAUSE)
            else:
                return

    def release(self) -> None:
        """Let another process have it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give it up for good."""
        os.close(self._descriptor)
