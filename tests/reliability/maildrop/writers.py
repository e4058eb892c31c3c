"""Callers who have one message after the other sent, each until sendmail ends with 0.

The law: each call sends a message of its own mark, so that a copy made by a sendmail that was
killed after its rename is told from one that pickup made.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from support.instance import DOMAIN

from reliability.ledger import Ledger, Sent
from reliability.maildrop.client import ClientHost, Strike, Victim
from reliability.message import make_message

__all__ = ["Writer"]

RECIPIENT: Final = f"bob@{DOMAIN}"
_SHARE: Final = 0.15  # of the calls that are struck
_BEGIN, _END = 0.5, 1.1  # when, in parts of the time that a call takes
_FIRST_GUESS: Final = 0.1  # seconds of a call
_SIZES: Final = (200, 2_000, 2_000, 20_000, 300_000)  # octets
_CALLS: Final = 20  # for one message; each but the last was struck


class Writer:
    """One caller on one host; `write` is for a thread of its own."""

    def __init__(
        self,
        host: ClientHost,
        number: int,
        count: int,
        ledger: Ledger,
        source: Callable[[str], random.Random],
    ) -> None:
        """`source` gives a source of randomness by purpose."""
        self.host = host
        self.struck: Counter[Victim] = Counter()
        self.struck_marks: set[str] = set()
        self.sent = 0
        self.failures: list[str] = []
        self._number = number
        self._count = count
        self._ledger = ledger
        self._source = source
        self._typical = _FIRST_GUESS

    def write(self, ending: threading.Event) -> None:
        """Have all messages sent, unless it is to end before."""
        for message in range(self._count):
            for call in range(_CALLS):
                if ending.is_set() or self._call(
                    f"{self.host.name}-{self._number}.{message}.{call}"
                ):
                    break
            else:
                self.failures.append(f"{self.host.name}: no message after {_CALLS} calls")
                return
            self.sent += 1

    def _call(self, mark: str) -> bool:
        """Have one message sent; whether that was acknowledged."""
        source = self._source(mark)
        content = make_message(mark, source.choice(_SIZES), source)
        strike = None
        if source.random() < _SHARE:
            delay = source.uniform(_BEGIN, _END) * self._typical
            strike = Strike(source.choice(list(Victim)), delay)
        began = time.time()
        self._ledger.sending(Sent(mark, self.host.name, frozenset([RECIPIENT]), frozenset(), began))
        status, struck = self.host.send(RECIPIENT, content, strike)
        if struck and strike is not None:
            self.struck[strike.victim] += 1
            self.struck_marks.add(mark)
        elif status:
            self.failures.append(f"{mark}: status {status}, and nobody was killed")
        else:
            self._typical += (time.time() - began - self._typical) / 8
        if not status:
            self._ledger.acknowledge(mark, "")
        return not status
