"""What a list of the queue says of each message, and the order in which messages are listed.

The law: a list takes bounded memory, however long the queue is. Ids sort by time: those that are
listed next are the smallest beyond the last one, so many at a time.
"""

import heapq
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mta.queue.errors import QueueFileError, QueueFileIncomplete, QueueFileMissing
from mta.queue.layout import STATES, State, path_of
from mta.queue.queue_id import arrival_time
from mta.queue.reader import StoredMessage
from mta.queue.store import QueueStore

__all__ = ["WAITING", "Entry", "domain_of", "entries", "entry_of", "oldest_first"]

WAITING: Final[tuple[State, ...]] = ("incoming", "deferred", "hold")  # as messages move
_WINDOW: Final = 20_000  # ids that are remembered at a time: some megabytes


@dataclass(frozen=True)
class Entry:
    """One line of the list; the names are those of the JSON form."""

    queue_id: str
    state: State
    size: int  # octets of the content
    arrived: float  # seconds since the epoch
    attempts: int
    next_attempt: float  # seconds since the epoch; 0 = as soon as possible
    sender: str
    recipients: tuple[str, ...]  # those that are not finished
    statuses: tuple[str, ...]  # the last word on each of them, empty for one that was not tried
    reason: str  # of the last deferral; of a damaged file, what is wrong with it
    damaged: bool


def entries(store: QueueStore, states: Iterable[State] = STATES) -> Iterator[Entry]:
    """The messages in these states, in no order; a damaged file is an entry too."""
    for state in states:
        for queue_id in store.scan(state):
            entry = entry_of(store, state, queue_id)
            if entry is not None:  # else it was delivered meanwhile, or is not yet there
                yield entry


def domain_of(address: str) -> str:
    """The domain in folded case; empty where there is none, and so of the null sender."""
    return address.rpartition("@")[2].casefold() if "@" in address else ""


def oldest_first(
    store: QueueStore, states: Iterable[State] = WAITING, *, window: int = _WINDOW
) -> Iterator[Entry]:
    """The messages in these states by age; each once, and in the state where it is found then.

    The folders are looked through once for each `window` of messages. What arrives meanwhile is
    listed as well.
    """
    wanted = tuple(states)
    last = ""
    while True:
        names = (name for state in wanted for name in store.scan(state) if name > last)
        found = heapq.nsmallest(window, names)
        for queue_id in dict.fromkeys(found):  # one that moved meanwhile may be seen twice
            looks = (entry_of(store, state, queue_id) for state in wanted)
            entry = next(filter(None, looks), None)
            if entry is not None:
                yield entry
        if len(found) < window:
            return
        last = found[-1]


def entry_of(store: QueueStore, state: State, queue_id: str) -> Entry | None:
    """One message; None if there is no complete file of that name."""
    try:
        with store.open_message(state, queue_id) as message:
            return _entry(message)
    except (QueueFileMissing, QueueFileIncomplete):
        return None
    except QueueFileError as error:
        try:
            return _damaged_entry(store, state, queue_id, error.reason)
        except FileNotFoundError:
            return None


def _entry(message: StoredMessage) -> Entry:
    done, outcomes = message.done, message.outcomes
    left = {
        index: recipient.address
        for index, recipient in enumerate(message.envelope.recipients)
        if index not in done
    }
    return Entry(
        queue_id=message.queue_id,
        state=message.state,
        size=message.content_length,
        arrived=message.envelope.arrived,
        attempts=message.attempts,
        next_attempt=message.next_attempt,
        sender=message.envelope.sender,
        recipients=tuple(left.values()),
        statuses=tuple(str(outcomes[index].status) if index in outcomes else "" for index in left),
        reason=message.reason,
        damaged=False,
    )


def _damaged_entry(store: QueueStore, state: State, queue_id: str, reason: str) -> Entry:
    found = os.stat(path_of(state, queue_id), dir_fd=store.descriptor, follow_symlinks=False)
    arrived = arrival_time(queue_id)
    return Entry(queue_id, state, found.st_size, arrived, 0, 0.0, "", (), (), reason, damaged=True)
