"""How `mta queue` shows what lies in the queue: a table, a message in full, and their JSON forms.

Queue files are read as the gossip they are: what is damaged is listed as such, and what a peer
wrote is shown without control characters.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mta.commands.output import table
from mta.proto.envelope import Recipient
from mta.proto.headers import HeaderScanner
from mta.queue.entry import Entry
from mta.queue.journal import Attempted
from mta.queue.layout import State
from mta.queue.reader import StoredMessage

__all__ = [
    "DamagedFiles",
    "Details",
    "details",
    "entry_table",
    "message_lines",
    "printable",
]


class DamagedFiles:
    """How many files a list left out; known at its end."""

    def __init__(self) -> None:
        self.count = 0


@dataclass(frozen=True)
class RecipientDetails:
    """One recipient and the last word on it; the last three are empty if there is none."""

    address: str
    original: str
    disposition: str
    status: str
    relay: str


@dataclass(frozen=True)
class Details:
    """One message in full; the names are those of the JSON form."""

    queue_id: str
    state: State
    size: int  # octets of the content
    arrived: float  # seconds since the epoch
    attempts: int
    next_attempt: float  # seconds since the epoch; 0 = as soon as possible
    reason: str
    sender: str
    client: str
    helo: str
    protocol: str
    service: str
    recipients: tuple[RecipientDetails, ...]
    header: str


def details(message: StoredMessage) -> Details:
    """All that is known of a message."""
    envelope, origin = message.envelope, message.envelope.origin
    return Details(
        queue_id=message.queue_id,
        state=message.state,
        size=message.content_length,
        arrived=envelope.arrived,
        attempts=message.attempts,
        next_attempt=message.next_attempt,
        reason=message.reason,
        sender=envelope.sender,
        client=origin.client_address,
        helo=origin.helo,
        protocol=origin.protocol,
        service=origin.service,
        recipients=tuple(
            _recipient(recipient, message.outcomes.get(index))
            for index, recipient in enumerate(envelope.recipients)
        ),
        header=_header(message),
    )


def _recipient(recipient: Recipient, outcome: Attempted | None) -> RecipientDetails:
    if outcome is None:
        return RecipientDetails(recipient.address, recipient.original, "", "", "")
    return RecipientDetails(
        recipient.address,
        recipient.original,
        outcome.disposition.value,
        str(outcome.status),
        outcome.relay,
    )


def _header(message: StoredMessage) -> str:
    scanner = HeaderScanner()
    if not any(map(scanner.feed, message.content())):
        scanner.end()
    return scanner.section.decode("utf-8", "replace").replace("\r\n", "\n")


_COLUMNS: Final[dict[str, Callable[[Entry], str | int]]] = {
    "queue id": lambda entry: entry.queue_id,
    "state": lambda entry: entry.state,
    "size": lambda entry: entry.size,
    "arrived": lambda entry: _when(entry.arrived),
    "tries": lambda entry: entry.attempts,
    "next try": lambda entry: _when(entry.next_attempt),
    "sender": lambda entry: f"<{entry.sender}>",
    "left": lambda entry: len(entry.recipients),
    "reason": lambda entry: entry.reason,
}


def entry_table(listed: Iterable[Entry]) -> str:
    """The entries as a table with a line of headings."""
    rows = [[_cell(column(entry)) for column in _COLUMNS.values()] for entry in listed]
    return table(list(_COLUMNS), rows)


def _cell(value: str | int) -> str | int:
    return printable(value) if isinstance(value, str) else value


def message_lines(message: Details) -> Iterator[str]:
    """One message in full, for people."""
    facts = {
        "Queue id": message.queue_id,
        "State": message.state,
        "Size": str(message.size),
        "Arrived": _when(message.arrived),
        "Attempts": str(message.attempts),
        "Next attempt": _when(message.next_attempt),
        "Reason": message.reason or "-",
        "Sender": f"<{message.sender}>",
        "Client": f"{message.helo} [{message.client}], {message.protocol}, {message.service}",
    }
    for name, value in facts.items():
        yield f"{name + ':':<14}{printable(value)}"
    for recipient in message.recipients:
        yield f"{'Recipient:':<14}{printable(_recipient_text(recipient))}"
    yield ""
    for line in message.header.splitlines():
        yield printable(line.expandtabs())


def _recipient_text(recipient: RecipientDetails) -> str:
    text = f"<{recipient.address}>"
    if recipient.original != recipient.address:
        text += f" (given as <{recipient.original}>)"
    if not recipient.disposition:
        return f"{text} not tried"
    return f"{text} {recipient.disposition} by {recipient.relay}: {recipient.status}"


def _when(moment: float) -> str:
    """Local time; "-" for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) if moment else "-"


def printable(text: str) -> str:
    """Without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
