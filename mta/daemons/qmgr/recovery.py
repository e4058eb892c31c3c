"""The scan: what the queue directories hold, whatever the notifications said.

The law: every file is found within one scan, by its name alone in incoming/, with its retry time
in deferred/, and none is opened for that. Notifications may be lost and processes may die between
any two steps; after a scan nothing is forgotten. A file that turns out to be no message is set
aside in corrupt/, or told of with each scan where it cannot be moved; it is never deleted. The loop
is held up for a slice at most, and mail that is being delivered meanwhile has the most of it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Container
from typing import Final

from mta.daemons.qmgr.scheduler import Entry
from mta.queue.errors import (
    QueueFileCorrupt,
    QueueFileIncomplete,
    QueueFileMissing,
)
from mta.queue.layout import State
from mta.queue.queue_id import arrival_time
from mta.queue.store import QueueStore
from mta.util.clock import boottime
from mta.util.log import Log

__all__ = ["Recovery"]

_SLICE: Final = 0.005  # seconds of the loop's time at once
_BREAK: Final = 19 * _SLICE  # seconds between two slices while there is other work
_STATES: Final[tuple[State, ...]] = ("incoming", "deferred")


class Recovery:
    """Finds waiting messages, and sets aside what is none."""

    def __init__(self, store: QueueStore, born: Callable[[str], float], log: Log) -> None:
        """`born` tells when a message arrived: see `Entry`."""
        self._store = store
        self._born = born
        self._log = log

    async def scan(
        self, known: Container[str], is_busy: Callable[[], bool]
    ) -> AsyncGenerator[Entry, None]:
        """Yield an entry for each file of incoming/ and deferred/ that is not known.

        `is_busy` tells whether the loop has more urgent work. An OSError ends the scan: a directory
        that cannot be read.
        """
        pause_at = time.monotonic() + _SLICE
        for state in _STATES:
            for queue_id in self._store.scan(state):
                if queue_id not in known:
                    entry = self._entry(state, queue_id)
                    if entry is not None:
                        yield entry
                if time.monotonic() >= pause_at:
                    await asyncio.sleep(_BREAK if is_busy() else 0)
                    pause_at = time.monotonic() + _SLICE

    def find(self, queue_id: str) -> Entry | None:
        """An entry for one message of incoming/ or deferred/, due at once; None if there is none.

        A file that cannot be read is left to the scan.
        """
        for state in _STATES:
            try:
                self._store.open_message(state, queue_id).close()
            except (QueueFileMissing, QueueFileIncomplete, QueueFileCorrupt, OSError) as error:
                self._log.debug("not_found", queue_id=queue_id, state=state, reason=str(error))
            else:
                return self._waiting(state, queue_id, 0.0)
        return None

    def set_aside(self, state: State, queue_id: str, error: QueueFileCorrupt) -> None:
        """Move a damaged file to corrupt/ and say so loudly."""
        try:
            path = self._store.quarantine(queue_id, state)
        except QueueFileMissing:
            return
        except OSError as failure:  # the sandbox lets no links and devices be moved, for instance
            self._log.error(
                "corrupt", queue_id=queue_id, reason=error.reason, not_moved=str(failure)
            )
            return
        self._log.error("corrupt", queue_id=queue_id, reason=error.reason, path=path)

    def _entry(self, state: State, queue_id: str) -> Entry | None:
        if state == "incoming":
            return self._waiting(state, queue_id, arrival_time(queue_id))
        try:
            return self._waiting(state, queue_id, self._store.due(state, queue_id))
        except QueueFileMissing:
            return None
        except OSError as error:  # of this file, or of ours: the next scan will see
            self._log.error("unreadable", queue_id=queue_id, reason=str(error))
            return None

    def _waiting(self, state: State, queue_id: str, due: float) -> Entry:
        """The entry of a message that is due then, in seconds since the epoch."""
        pause, deferred = due - time.time(), state == "deferred"
        if not deferred:  # fresh mail does not wait, not even where it is from the future
            pause = min(0.0, pause)
        birth = self._born(queue_id)
        return Entry(boottime() + pause, queue_id, deferred=deferred, found=True, born=birth)
