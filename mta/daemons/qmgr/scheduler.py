"""What is worked on next: due times, and the pause after a failure.

The law: nothing is due before its time; fresh and deferred mail alternate, so that a backlog of
either kind never starves the other. Pure: the clock is an argument. It is one that nobody sets
(`mta.util.clock`): what waits for an hour does so, whatever becomes of the wall clock.
"""

import heapq
from typing import Final, NamedTuple

__all__ = ["Calendar", "Entry", "backoff"]

_SLACK: Final = 64  # outdated heap items that are not worth a rebuild


class Entry(NamedTuple):
    """One waiting message: all that is kept in memory of it."""

    due: float
    queue_id: str
    deferred: bool  # its file lies in deferred/, not in incoming/
    found: bool  # by a scan, so that nobody vouches for its content yet
    born: float  # when it arrived, by a clock that nobody sets: see `mta.daemons.qmgr.ages`


def backoff(age: float, minimal: float, maximal: float) -> float:
    """The pause before the next attempt: the message's age, at least `minimal`, at most `maximal`.

    As in Postfix the pauses double by themselves, for each attempt finds the age doubled.
    """
    return max(minimal, min(age, maximal))


class _DueTimes:
    """Waiting messages of one kind by due time; a second entry of an id replaces the first."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._heap: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, queue_id: object) -> bool:
        return queue_id in self._entries

    def put(self, entry: Entry) -> None:
        self._entries[entry.queue_id] = entry
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._entries) + _SLACK:
            self._rebuild()

    def first(self) -> Entry | None:
        while self._heap:
            entry = self._heap[0]
            if self._entries.get(entry.queue_id) is entry:
                return entry
            heapq.heappop(self._heap)
        return None

    def take(self, now: float) -> Entry | None:
        entry = self.first()
        if entry is None or entry.due > now:
            return None
        heapq.heappop(self._heap)
        del self._entries[entry.queue_id]
        return entry

    def hasten(self, now: float, queue_id: str) -> int:
        if not queue_id:
            self._entries = {
                name: entry._replace(due=min(entry.due, now))
                for name, entry in self._entries.items()
            }
            self._rebuild()
            return len(self._entries)
        entry = self._entries.get(queue_id)
        if entry is None:
            return 0
        self.put(entry._replace(due=min(entry.due, now)))
        return 1

    def _rebuild(self) -> None:
        self._heap = list(self._entries.values())
        heapq.heapify(self._heap)


class Calendar:
    """All waiting messages; the fresh and the deferred ones alternate when both are due."""

    def __init__(self) -> None:
        self._fresh = _DueTimes()
        self._deferred = _DueTimes()
        self._deferred_next = False

    def __len__(self) -> int:
        return len(self._fresh) + len(self._deferred)

    def __contains__(self, queue_id: object) -> bool:
        return queue_id in self._fresh or queue_id in self._deferred

    def put(self, entry: Entry) -> None:
        """Enter a message that does not wait yet."""
        (self._deferred if entry.deferred else self._fresh).put(entry)

    def take(self, now: float) -> Entry | None:
        """Remove and return a message that is due; None if there is none."""
        turn = (self._fresh, self._deferred)
        for kind in reversed(turn) if self._deferred_next else turn:
            entry = kind.take(now)
            if entry is not None:
                self._deferred_next = not entry.deferred
                return entry
        return None

    def next_due(self) -> float | None:
        """The earliest due time; None when nothing waits."""
        firsts = (self._fresh.first(), self._deferred.first())
        return min((entry.due for entry in firsts if entry is not None), default=None)

    def hasten(self, now: float, queue_id: str = "") -> int:
        """Make one message due, or all; the count of messages concerned."""
        return self._fresh.hasten(now, queue_id) + self._deferred.hasten(now, queue_id)
