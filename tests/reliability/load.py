"""Mail of all kinds, sent by several clients at once; each is a thread with a seed of its own.

A client whose connection breaks gives its message up and goes on with another one: what it was not
told is in the ledger as unacknowledged. Nothing is sent a second time.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from support.background import Background
from support.dialogue import Dialogue, Reply, dot_stuffed
from support.instance import DOMAIN, Instance

from reliability.ledger import Ledger, Sent
from reliability.message import make_message

__all__ = ["BOXES", "KINDS", "SENDER", "Kind", "Load", "Refusal"]

SENDER: Final = f"sender@{DOMAIN}"  # the box that reports come to
BOXES: Final = tuple(f"box-{number}@{DOMAIN}" for number in range(8))

_SMALL: Final = (200, 4000, 15_000)  # octets of body
_BIG: Final = (150_000, 250_000, 400_000)


@dataclass(frozen=True)
class Kind:
    """One kind of message: how often it is sent, relative to others, and to whom."""

    weight: int
    delivered: tuple[str, ...]  # who is to get it
    reported: tuple[str, ...] = ()  # of whom the sender is to be told
    sizes: tuple[int, ...] = _SMALL
    nobody: tuple[str, ...] = ()  # who are no people: what they get is thrown away


KINDS: Final = {
    "local": Kind(6, ("{box}",)),
    "relayed": Kind(6, ("to-{mark}@example.test",)),
    "deferred": Kind(3, ("later-{mark}@example.test",)),
    "shaky": Kind(2, ("shaky-{mark}@example.test",)),
    "bounced": Kind(3, (), ("never-{mark}@example.test",)),
    "big": Kind(2, ("{box}", "to-{mark}@example.test"), sizes=_BIG),
    "many": Kind(
        1,
        (
            *BOXES,
            *(f"to-{number}-{{mark}}@example.test" for number in range(8)),
            *(f"later-{number}-{{mark}}@example.test" for number in range(2)),
        ),
        ("never-{mark}@example.test",),
    ),
    "discarded": Kind(1, (), (), nobody=(f"double-bounce@{DOMAIN}",)),
    "abandoned": Kind(1, ("{box}",), sizes=(4000, 700_000)),
}
_PAUSE: Final = 0.1  # seconds, after a connection that failed or a server that refused


@dataclass(frozen=True)
class Refusal:
    """A reply other than the one that a message needs to get on."""

    time: float  # seconds since the epoch
    reply: Reply


class _Refused(Exception):  # noqa: N818 - what the server did, not what is wrong
    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Load(Background):
    """Clients that send until the end of the context, each about `rate` messages a second."""

    def __init__(
        self,
        ledger: Ledger,
        instance: Instance,
        seed: random.Random,
        *,
        clients: int = 4,
        rate: float = 10.0,
        prefix: str = "m",
        timeout: float = 30.0,
        kinds: Mapping[str, Kind] = KINDS,
    ) -> None:
        self.refusals: list[Refusal] = []  # each ended a connection
        self.broken = 0  # connections that ended too early, or could not be made
        self.late = 0  # connections on which nothing was heard for `timeout` seconds
        self._ledger = ledger
        self._instance = instance
        self._pause = 1 / rate
        self._timeout = timeout
        self._kinds = kinds
        super().__init__(
            *(
                partial(self._work, f"{prefix}{number}", random.Random(seed.random()))
                for number in range(clients)
            )
        )

    @property
    def refused(self) -> int:
        """Connections that ended with a reply other than the one that was needed."""
        return len(self.refusals)

    def _work(self, name: str, source: random.Random) -> None:
        number = 0
        while not self.ending.is_set():
            try:
                with self._instance.smtp(self._timeout) as client:
                    _expect(client, 220)
                    _say(client, "EHLO client.test", 250)
                    for _ in range(source.choice((1, 1, 1, 5))):
                        number += 1
                        self._send(client, f"{name}-{number}", source)
                        if self.ending.wait(source.expovariate(1 / self._pause)):
                            break
                    _say(client, "QUIT", 221)
            except _Refused as error:
                self.refusals.append(Refusal(time.time(), error.reply))
                self.ending.wait(_PAUSE)
            except TimeoutError:
                self.late += 1
            except (OSError, EOFError, AssertionError):  # AssertionError: within a reply
                self.broken += 1
                self.ending.wait(_PAUSE)  # a server that is away is not hammered

    def _send(self, client: Dialogue, mark: str, source: random.Random) -> None:
        weights = [kind.weight for kind in self._kinds.values()]
        (name,) = source.choices(tuple(self._kinds), weights)
        kind, names = self._kinds[name], {"box": source.choice(BOXES), "mark": mark}
        delivered = [each.format_map(names) for each in kind.delivered]
        reported = [each.format_map(names) for each in kind.reported]
        message = dot_stuffed(make_message(mark, source.choice(kind.sizes), source))
        sent = Sent(mark, name, frozenset(delivered), frozenset(reported), time.time())
        self._ledger.sending(sent)
        recipients = [*delivered, *reported, *kind.nobody]
        source.shuffle(recipients)
        commands = [f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{each}>" for each in recipients), "DATA"]
        if source.random() < 0.5:
            client.send(*commands)  # RFC 2920
            for _ in commands[:-1]:
                _expect(client, 250)
            _expect(client, 354)
        else:
            for command in commands[:-1]:
                _say(client, command, 250)
            _say(client, "DATA", 354)
        if name == "abandoned":
            sent.abandoned = True
            client.send_octets(message[: len(message) // 2])
            client.close()
            raise EOFError
        client.send_octets(message)
        reply = _expect(client, 250)
        self._ledger.acknowledge(mark, reply.text.split()[-1])


def _expect(client: Dialogue, code: int) -> Reply:
    reply = client.reply()
    if reply.code != code:
        raise _Refused(reply)
    return reply


def _say(client: Dialogue, line: str, code: int) -> Reply:
    client.send(line)
    return _expect(client, code)
