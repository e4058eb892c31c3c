"""Mail for the proof of clocks: letters of four kinds, the next host's moods, and who got what.

local     for a mailbox of this host
taken     for the next host, which takes it
later     for the next host, which takes it when it is offered for the so-manieth time
never     for the next host, which refuses it: the sender is told
old       for the next host, which never takes it: the sender is told when it is too old
kept      for the next host, which takes it once it relents
"""

import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.background import Background
from support.instance import DOMAIN, Instance
from support.load import message
from support.smtp_peer import Action
from support.waiting import wait_until

__all__ = ["BOX", "MOST_TRIES", "Letter", "Letters", "Mailbox", "Moods", "Traffic"]

BOX: Final = "box"
NEXT: Final = "next.test"
SENDER: Final = f"told@{DOMAIN}"
_KINDS: Final = ("local", "taken", "later", "never")
MOST_TRIES: Final = 5
_PACE: Final = 0.05  # seconds between two letters
_BUSY: Final = "450 4.2.1 not now"
_SUBJECT: Final = re.compile(rb"^Subject: (\S+)", re.MULTILINE | re.IGNORECASE)
_TOLD: Final = re.compile(
    rb"^Final-Recipient: rfc822; ([^@\s]+)@.*\r?\nAction: (\S+)\r?\nStatus: (\S+)", re.MULTILINE
)


@dataclass
class Letter:
    """One message; `mark` is its Subject, and of the next host's mail its recipient, too."""

    mark: str
    kind: str
    chapter: int = -1  # the last jump before it was acknowledged
    sent: float = 0.0  # time.monotonic() before it was
    acknowledged: bool = False

    @property
    def recipient(self) -> str:
        return f"{BOX}@{DOMAIN}" if self.kind == "local" else f"{self.mark}@{NEXT}"


class Moods(Mapping[str, Action]):
    """What the next host says of each recipient, as a table for a Script's `rcpt`."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()  # by mark
        self.relents = False

    def __getitem__(self, address: str) -> Action:
        mark = address.partition("@")[0]
        kind, number, *_ = mark.split("-")
        self.tries[mark] += 1
        match kind:
            case "never":
                return "550 5.1.1 nobody of that name"
            case "old":
                return _BUSY
            case "kept" if not self.relents:
                return _BUSY
            case "later" if self.tries[mark] < int(number):
                return _BUSY
        return "250 2.1.5 welcome"

    def __iter__(self) -> Iterator[str]:
        return iter(self.tries)

    def __len__(self) -> int:
        return len(self.tries)

    def waits(self, letter: Letter) -> bool:
        """Whether a letter of kind `later` has not yet been offered often enough."""
        return self.tries[letter.mark] < int(letter.mark.split("-")[1])


@dataclass
class Letters:
    """All letters that were sent, by whatever system."""

    sent: list[Letter] = field(default_factory=list)
    chapter: int = -1
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def send(self, instance: Instance, kind: str, tries: int = 0) -> Letter:
        """Send one; OSError, EOFError or AssertionError where it was not acknowledged."""
        letter = Letter(f"{kind}-{tries}-{next(self._numbers)}", kind, sent=time.monotonic())
        self.sent.append(letter)
        with instance.smtp(timeout=30.0) as client:
            client.greeted().mail(SENDER, [letter.recipient], message(letter.mark))
            letter.chapter = self.chapter
            letter.acknowledged = True
        return letter

    def insist(self, instance: Instance, kind: str, tries: int = 0) -> Letter:
        """Send one, again where a daemon that is killed refuses it or leaves it unanswered."""

        def attempt() -> Letter | None:
            try:
                return self.send(instance, kind, tries)
            except (OSError, EOFError, AssertionError):
                return None

        letter = wait_until(attempt, f"the acknowledgement of a message of kind {kind}", 60.0)
        assert letter is not None
        return letter

    def of(self, kind: str) -> list[Letter]:
        """Those of a kind that were acknowledged."""
        return [each for each in list(self.sent) if each.acknowledged and each.kind == kind]


class Traffic(Background):
    """A client that sends letters without end; what is not acknowledged is only counted."""

    def __init__(
        self,
        letters: Letters,
        instance: Instance,
        chance: random.Random,
        kinds: tuple[str, ...] = _KINDS,
    ) -> None:
        self.refused = 0
        self._letters = letters
        self._instance = instance
        self._chance = chance
        self._kinds = kinds
        super().__init__(self._send)

    def _send(self) -> None:
        while not self.ending.wait(_PACE):
            kind = self._chance.choice(self._kinds)
            try:
                self._letters.send(self._instance, kind, self._chance.randint(2, MOST_TRIES))
            except (OSError, EOFError, AssertionError):
                self.refused += 1


class Mailbox:
    """A Maildir that is read as it grows."""

    def __init__(self, base: Path, user: str) -> None:
        self._new = base / DOMAIN / user / "new"
        self._read: set[str] = set()
        self.subjects: Counter[str] = Counter()
        self.told: list[tuple[str, str, str, float]] = []  # mark, action, status, monotonic

    def look(self) -> None:
        """Read what has come since."""
        if not self._new.is_dir():
            return
        for path in self._new.iterdir():
            if path.name not in self._read:
                self._read.add(path.name)
                self._take(path.read_bytes())

    def _take(self, octets: bytes) -> None:
        header = octets.partition(b"\n\n")[0]
        if subject := _SUBJECT.search(header):
            self.subjects[subject[1].decode()] += 1
        now = time.monotonic()
        for found in _TOLD.finditer(octets):
            mark, action, status = (each.decode() for each in found.groups())
            self.told.append((mark, action, status, now))
