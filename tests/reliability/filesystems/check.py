"""What must be on a file system after a cut: each acknowledged message, whole, for each recipient.

The queue is read with the queue manager's own reader, and believed: a recipient of whom the journal
says that he has the message must have it.
"""

import enum
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.instance import DOMAIN, Instance
from support.maildir import Delivered
from support.smtp_peer import Message

from mta.queue.errors import QueueFileCorrupt
from mta.queue.reader import COMPLETE_MODE, QueueFile
from reliability.filesystems.load import Letter, Sent

__all__ = ["Copies", "Findings", "Whereabouts", "arrived", "locate", "look"]


class Whereabouts(enum.StrEnum):
    """Where an acknowledged message is, for one recipient."""

    INCOMING = "incoming"
    DEFERRED = "deferred"
    MAILBOX = "mailbox"
    NEXT_HOP = "next host"


_QUEUE: Final = (Whereabouts.INCOMING, Whereabouts.DEFERRED)

Copies = Counter[tuple[str, str]]  # of a mark, for a recipient


@dataclass
class Findings:
    """What lies in a queue and in its mailboxes."""

    waiting: dict[tuple[str, str], Whereabouts] = field(default_factory=dict)  # by id, recipient
    delivered: Copies = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def look(house: Instance, letters: Mapping[str, Letter]) -> Findings:
    """Read all queue files and mailboxes."""
    found = Findings()
    for state in _QUEUE:
        for path in house.queue_files(state):
            if stat.S_IMODE(path.stat().st_mode) == COMPLETE_MODE:
                _read_queue_file(path, state, letters, found)
    delivered, found.broken = _in_mailboxes(house, letters)
    found.delivered += delivered
    return found


def _read_queue_file(
    path: Path, state: Whereabouts, letters: Mapping[str, Letter], found: Findings
) -> None:
    """A damaged file is nobody's message: whether one was promised, `locate` finds out."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        message = QueueFile(path.name, descriptor)
        message.verify_content()
        letter = _letter_in(b"".join(message.content()), letters, b"\r\n")
    except QueueFileCorrupt:
        return
    finally:
        os.close(descriptor)
    if letter is None:
        return
    for index, recipient in enumerate(message.envelope.recipients):
        if index not in message.done:
            found.waiting[message.queue_id, recipient.address] = state


def _in_mailboxes(house: Instance, letters: Mapping[str, Letter]) -> tuple[Copies, list[str]]:
    """What lies in all new/ folders, and what should not lie there as it does."""
    copies: Copies = Counter()
    broken = []
    for path in house.mail.glob(f"{DOMAIN}/*/new/*"):
        letter = _letter_in(Delivered(path).octets, letters, b"\n")
        recipient = f"{path.parent.parent.name}@{DOMAIN}"
        if letter is None or recipient not in letter.recipients:
            broken.append(f"no whole message for {recipient}: {path} ({path.stat().st_size})")
        else:
            copies[letter.mark, recipient] += 1
    return copies, broken


def arrived(messages: Iterable[Message], letters: Mapping[str, Letter]) -> tuple[Copies, list[str]]:
    """What the next host took, and what it should not have got."""
    copies: Copies = Counter()
    broken = []
    for message in messages:
        letter = _letter_in(message.content, letters, b"\r\n")
        if letter is None or not set(message.recipients) <= set(letter.recipients):
            broken.append(f"the next host got no whole message: {message.content[:300]!r}")
        else:
            copies.update((letter.mark, recipient) for recipient in message.recipients)
    return copies, broken


def _letter_in(octets: bytes, letters: Mapping[str, Letter], end: bytes) -> Letter | None:
    """The letter that is behind our own header fields, if it is there to its last octet."""
    _, _, behind = octets.partition(b"Subject: ")
    letter = letters.get(behind.partition(end)[0].decode("ascii", "replace"))
    if letter is None or not octets.endswith(letter.content.replace(b"\r\n", end)):
        return None
    return letter


def locate(
    sent: Iterable[Sent], found: Findings, elsewhere: Copies
) -> tuple[Counter[Whereabouts], list[str]]:
    """Where each acknowledged message is, for each of its recipients; and which are nowhere."""
    places: Counter[Whereabouts] = Counter()
    lost = []
    for each in sent:
        for recipient in each.letter.recipients:
            key = (each.letter.mark, recipient)
            state = found.waiting.get((each.queue_id, recipient))
            if found.delivered[key]:
                places[Whereabouts.MAILBOX] += 1
            elif elsewhere[key]:
                places[Whereabouts.NEXT_HOP] += 1
            elif state is not None:
                places[state] += 1
            else:
                lost.append(
                    f"{each.letter.mark} ({each.queue_id}, acknowledged at {each.position}) "
                    f"for {recipient} is neither queued nor delivered"
                )
    return places, lost
