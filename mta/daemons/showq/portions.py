"""Messages of the queue in portions that fit a frame; one with many recipients is in several."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Final

from mta.ipc.messages import FRAME_LIMIT, Listed, QueuedMessage, QueuedRecipient
from mta.queue.entry import Entry

__all__ = ["portions"]

# Texts are bounded in characters, frames in octets: a recipient has 4 KiB at most, and what else is
# said of a message 6 KiB. A piece goes beyond its size by one recipient, so that it always fits.
_PIECE: Final = 16_384  # octets of recipients
_FRAME: Final = FRAME_LIMIT - 1024
_RECIPIENTS: Final = 1000  # as in QueuedMessage
_MESSAGES: Final = 1000  # as in Listed
_OVERHEAD: Final = 128  # octets of numbers and of the frame's own marks, for one message
_MARKS: Final = 8  # octets of marks for one recipient


def portions(entries: Iterable[Entry]) -> Iterator[Listed]:
    """The list in frames, the last with the number of damaged files."""
    messages: list[QueuedMessage] = []
    damaged = room = 0
    for entry in entries:
        if entry.damaged:
            damaged += 1
            continue
        for piece, size in _pieces(entry):
            if messages and (size > room or len(messages) == _MESSAGES):
                yield Listed(tuple(messages), more=True)
                messages = []
            if not messages:
                room = _FRAME
            messages.append(piece)
            room -= size
    yield Listed(tuple(messages), more=False, damaged=damaged)


def _pieces(entry: Entry) -> Iterator[tuple[QueuedMessage, int]]:
    """A message in one piece, or more if its recipients are many; and about how long each is."""
    recipients: list[QueuedRecipient] = []
    size = head = _OVERHEAD + _octets(entry.sender) + _octets(entry.reason)
    for address, status in zip_longest(entry.recipients, entry.statuses, fillvalue=""):
        if size >= head + _PIECE or len(recipients) == _RECIPIENTS:
            yield _piece(entry, recipients), size
            recipients, size = [], head
        recipients.append(QueuedRecipient(address, status))
        size += _octets(address) + _octets(status) + _MARKS
    yield _piece(entry, recipients), size


def _piece(entry: Entry, recipients: list[QueuedRecipient]) -> QueuedMessage:
    if entry.state == "corrupt":  # no list asks for those
        raise ValueError(f"{entry.queue_id} lies in corrupt/")
    return QueuedMessage(
        queue_id=entry.queue_id,
        state=entry.state,
        size=entry.size,
        arrived=entry.arrived,
        attempts=entry.attempts,
        next_attempt=entry.next_attempt,
        sender=entry.sender,
        reason=entry.reason,
        recipients=tuple(recipients),
    )


def _octets(text: str) -> int:
    return len(text.encode())
