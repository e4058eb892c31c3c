"""Mail of all kinds, and when it was acknowledged or arrived: positions in the medium's log.

The law: an acknowledgement's position is taken after the client has read 250, so a cut at or
behind it comes after the promise; an arrival's position is taken before the next host says 250, so
what the system does upon that lies behind it.
"""

import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from support.dialogue import Dialogue
from support.instance import DOMAIN
from support.smtp_peer import Call, Message, Script, SmtpPeer

__all__ = ["Arrivals", "Letter", "NextHop", "Sent", "letters", "send_all"]

_SENDER: Final = "alice@example.org"
_ELSEWHERE: Final = "elsewhere.test"
_LARGE: Final = 300_000  # octets: streamed through the house
_LATE: Final = 8  # recipients that the next host defers at first
_CLIENTS: Final = 4
_PAUSE: Final = 0.15  # seconds between two messages of a client, at most: file systems act by time
_BUSY_PART: Final = 0.6  # of the mail is sent before the next host takes all

Position = Callable[[], int]


@dataclass(frozen=True)
class Letter:
    """One message; each of its lines tells whose it is and which."""

    mark: str
    recipients: tuple[str, ...]
    lines: int

    @property
    def content(self) -> bytes:
        body = "".join(f"{self.mark} line {number:05d}\r\n" for number in range(self.lines))
        return f"Subject: {self.mark}\r\n\r\n{body}".encode()


@dataclass(frozen=True)
class Sent:
    """A message that was acknowledged."""

    letter: Letter
    queue_id: str
    position: int


class Arrivals(list[Message]):
    """What the next host took, with the positions of the log."""

    def __init__(self, position: Position) -> None:
        super().__init__()
        self._position = position
        self.positions: list[int] = []
        self._lock = threading.Lock()

    def append(self, message: Message) -> None:
        with self._lock:
            self.positions.append(self._position())
            super().append(message)

    def until(self, position: int) -> list[Message]:
        """What had come by then."""
        with self._lock:
            pairs = zip(self, self.positions, strict=True)
            return [message for message, when in pairs if when <= position]


class NextHop:
    """The next host: takes mail, but some recipients' only when it is no longer `busy`."""

    def __init__(self) -> None:
        self.busy = threading.Event()
        late = {f"late{number}@{_ELSEWHERE}": Call(self._judge) for number in range(_LATE)}
        self.peer = SmtpPeer(Script(rcpt=late))

    def close(self) -> None:
        self.peer.close()

    def listen(self, position: Position) -> Arrivals:
        """A new list of what comes from now on."""
        arrivals = Arrivals(position)
        self.peer.messages = arrivals
        return arrivals

    def _judge(self) -> str:
        return "450 4.2.1 come again" if self.busy.is_set() else "250 2.1.5 recipient ok"


def letters(count: int, chance: random.Random) -> list[Letter]:
    """Mail of all kinds; mailboxes that do not exist yet come up to the end."""
    made = []
    for number in range(count):
        boxes = [f"box{box}@{DOMAIN}" for box in range(number // 3 + 5)]
        elsewhere = f"user{chance.randrange(50)}@{_ELSEWHERE}"
        late = f"late{chance.randrange(_LATE)}@{_ELSEWHERE}"
        several = chance.sample(boxes[-8:], min(5, len(boxes)))
        kinds = (
            ([boxes[-1]], False),
            ([chance.choice(boxes)], False),
            ([chance.choice(boxes)], True),
            (several, False),
            ([elsewhere], False),
            ([elsewhere], True),
            ([late], False),
            ([several[0], elsewhere, late], False),
        )
        recipients, large = kinds[number % len(kinds)]
        mark = f"letter-{number:05d}-{chance.randrange(10**6):06d}"
        line = len(f"{mark} line 00000\r\n")
        made.append(
            Letter(mark, tuple(recipients), _LARGE // line if large else chance.randint(1, 40))
        )
    return made


class _Clients:
    """Several clients that share one pile of letters."""

    def __init__(self, pile: Sequence[Letter], next_hop: NextHop, position: Position) -> None:
        self.sent: list[Sent] = []
        self.failures: list[str] = []
        self._pile = pile
        self._next_hop = next_hop
        self._position = position
        self._pause = threading.Event()

    def send(self, port: int, share: Iterable[Letter], chance: random.Random) -> None:
        """One client: its share of the letters, one after the other, on one connection."""
        try:
            with Dialogue("127.0.0.1", port, timeout=30.0) as client:
                client.greeted()
                for letter in share:
                    reply = client.mail(_SENDER, list(letter.recipients), letter.content)
                    position = self._position()
                    self.sent.append(Sent(letter, reply.text.split()[-1], position))
                    if len(self.sent) > _BUSY_PART * len(self._pile):
                        self._next_hop.busy.clear()
                    self._pause.wait(chance.uniform(0, _PAUSE))
                client.say("QUIT", 221)
        except (OSError, EOFError, AssertionError) as error:
            self.failures.append(f"a client was disturbed: {error!r}")


def send_all(
    port: int,
    pile: Sequence[Letter],
    next_hop: NextHop,
    position: Position,
    chance: random.Random,
) -> tuple[list[Sent], list[str]]:
    """Send all letters from several clients at once; what was acknowledged, and what failed."""
    next_hop.busy.set()
    clients = _Clients(pile, next_hop, position)
    threads = [
        threading.Thread(
            target=clients.send,
            args=(port, pile[first::_CLIENTS], random.Random(chance.random())),
        )
        for first in range(_CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    next_hop.busy.clear()
    return clients.sent, clients.failures
