"""The scan: what the queue directories hold, whatever the notifications said.

The law: every file is found within one scan, by its name alone in incoming/, with its retry time
in deferred/, and none is opened for that. Notifications may be lost and processes may die between
any two steps; after a scan nothing is forgotten. A file that turns out to be no message is set
aside in corrupt/; where it cannot be moved, and where its name is no queue id, it stays, and the
log is told of it once. None is ever deleted but an unfinished one without a writer, and none keeps
others from being found. The loop is held up for a slice at most, and mail that is being delivered
meanwhile has the most of it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Container
from typing import Final

from mta.daemons.qmgr.scheduler import Entry
from mta.daemons.qmgr.told import Told
from mta.queue.errors import (
    QueueFileCorrupt,
    QueueFileIncomplete,
    QueueFileMissing,
)
from mta.queue.layout import State
from mta.queue.leftovers import Leftovers
from mta.queue.queue_id import arrival_time
from mta.queue.store import Finding, Kind, QueueStore
from mta.util.clock import boottime
from mta.util.log import Log

__all__ = ["Recovery"]

_SLICE: Final = 0.005  # seconds of the loop's time at once
_BREAK: Final = 19 * _SLICE  # seconds between two slices while there is other work
_STATES: Final[tuple[State, ...]] = ("incoming", "deferred")


class Recovery:
    """Finds waiting messages, and sets aside what is none."""

    def __init__(self, store: QueueStore, born: Callable[[float], float], log: Log) -> None:
        """`born` brings the time of an arrival on the clock that ages go by: see `Entry`."""
        self._store = store
        self._born = born
        self._log = log
        self._leftovers = Leftovers(store.descriptor)
        self._foreign = Told()  # paths
        self._stuck = Told()  # queue ids of what can be neither used nor moved

    async def scan(
        self, known: Container[str], is_busy: Callable[[], bool]
    ) -> AsyncGenerator[Entry, None]:
        """Yield an entry for each file of incoming/ and deferred/ that is not known.

        `is_busy` tells whether the loop has more urgent work.
        """
        self._begin_scan()
        pause_at = time.monotonic() + _SLICE
        for state in _STATES:
            try:
                for finding in self._store.look(state):
                    entry = self._entry(state, finding, known)
                    if entry is not None:
                        yield entry
                    if time.monotonic() >= pause_at:
                        await asyncio.sleep(_BREAK if is_busy() else 0)
                        pause_at = time.monotonic() + _SLICE
            except OSError as error:  # a folder that cannot be read, when all others were
                self._log.error("scan_incomplete", state=state, reason=str(error))
        if count := self._foreign.left_out():
            self._log.error("foreign_files", count=count)

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
                return self._waiting(queue_id, 0.0 if state == "deferred" else None)
        return None

    def set_aside(self, state: State, queue_id: str, error: QueueFileCorrupt) -> None:
        """Move a damaged file to corrupt/ and say so loudly."""
        try:
            path = self._store.quarantine(queue_id, state)
        except QueueFileMissing:
            return
        except OSError as failure:  # the sandbox lets no device be moved, for instance
            if self._stuck.meet(queue_id):
                self._log.error(
                    "corrupt", queue_id=queue_id, reason=error.reason, not_moved=str(failure)
                )
            return
        self._log.error("corrupt", queue_id=queue_id, reason=error.reason, path=path)

    def _begin_scan(self) -> None:
        if count := self._stuck.left_out():
            self._log.error("stuck_files", count=count)
        for memory in (self._leftovers, self._foreign, self._stuck):
            memory.begin_scan()

    def _entry(self, state: State, finding: Finding, known: Container[str]) -> Entry | None:
        """The entry of a message that is not known; the log hears of what is none."""
        kind, name = finding
        if kind is Kind.UNFINISHED:
            self._look_after(name)
        elif kind is Kind.FOREIGN:
            if self._foreign.meet(path := f"{state}/{name}"):
                self._log.error("foreign_file", path=path)
        elif name not in known:
            if name in self._stuck:
                self._stuck.meet(name)
            return self._message(state, name)
        return None

    def _look_after(self, queue_id: str) -> None:
        """Remove an unfinished file, unless somebody may yet complete it."""
        try:
            if self._leftovers.remove(queue_id):
                self._log.warning("leftover_removed", queue_id=queue_id)
        except OSError as error:
            if self._stuck.meet(queue_id):
                self._log.error("leftover_stays", queue_id=queue_id, reason=str(error))

    def _message(self, state: State, queue_id: str) -> Entry | None:
        if state == "incoming":
            return self._waiting(queue_id, None)
        try:
            return self._waiting(queue_id, self._store.due(state, queue_id))
        except QueueFileMissing:
            return None
        except OSError as error:  # of this file, or of ours: the next scan will see
            if self._stuck.meet(queue_id):
                self._log.error("unreadable", queue_id=queue_id, reason=str(error))
            return None

    def _waiting(self, queue_id: str, deferred_until: float | None) -> Entry:
        """The entry of a message that waits until then (seconds since the epoch), or is fresh."""
        arrived, now = arrival_time(queue_id), time.time()
        deferred = deferred_until is not None
        # Fresh mail does not wait, not even where it is from the future.
        pause = min(0.0, arrived - now) if deferred_until is None else deferred_until - now
        birth = self._born(arrived)
        return Entry(boottime() + pause, queue_id, deferred=deferred, found=True, born=birth)
