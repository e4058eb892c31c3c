"""The ledger: what was sent and acknowledged, what arrived, and whether that is right.

The law that is judged:

- each recipient of an acknowledged message has it, or its sender has the report on him;
- what arrived is whole; what its client gave up before the end arrives nowhere;
- copies beyond the first are at most as many as crashes struck while the delivery was in flight:
  each is matched with a crash of its own between the begin of the attempt that made the copy
  before and that copy.

Times are seconds since the epoch.
"""

import itertools
import threading
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Arrival", "Ledger", "Sent", "Verdict"]

_SHOWN: Final = 5  # failures of one kind that are told one by one


@dataclass
class Sent:
    """One message that a client tried to send."""

    mark: str
    kind: str
    delivered_to: frozenset[str]  # who is to get it
    reported: frozenset[str]  # of whom the sender is to be told
    began: float
    acknowledged: float | None = None
    queue_id: str = ""
    abandoned: bool = False  # its client went away before the end of the content


@dataclass(frozen=True)
class Arrival:
    """One copy; for a report, the recipient that it tells of."""

    began: float
    ended: float
    whole: bool
    report: bool = False


@dataclass
class Verdict:
    """What came of it all."""

    failures: list[str] = field(default_factory=list)
    acknowledged: int = 0
    recipients: int = 0
    reports: int = 0
    lost: int = 0  # recipients who got nothing, and of whom nobody was told
    unacknowledged: int = 0  # sent, and their clients never heard
    unacknowledged_arrived: int = 0
    extra: int = 0  # copies beyond the first
    most_extra: int = 0  # of one recipient


class Ledger:
    """Written by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[str, Sent] = {}
        self._arrivals: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
        self._open: set[tuple[str, str]] = set()  # acknowledged, and not there yet
        self.strange: list[str] = []  # arrivals that nobody sent

    # What happens

    def sending(self, sent: Sent) -> None:
        """A client is about to send this message."""
        with self._lock:
            self._sent[sent.mark] = sent

    def acknowledge(self, mark: str, queue_id: str) -> None:
        """The client has read 250."""
        with self._lock:
            sent = self._sent[mark]
            sent.acknowledged = time.time()
            sent.queue_id = queue_id
            for recipient in sent.delivered_to | sent.reported:
                if (mark, recipient) not in self._arrivals:
                    self._open.add((mark, recipient))

    def arrive(self, mark: str, recipient: str, arrival: Arrival) -> None:
        """A recipient has the message, or the sender a report on the recipient."""
        with self._lock:
            if mark not in self._sent:
                self.strange.append(f"{mark!r} for {recipient}")
                return
            self._arrivals[mark, recipient].append(arrival)
            self._open.discard((mark, recipient))

    # What can be asked

    @property
    def acknowledged(self) -> int:
        """Messages that were acknowledged."""
        with self._lock:
            return sum(sent.acknowledged is not None for sent in self._sent.values())

    def messages(self) -> list[Sent]:
        """The messages that were acknowledged."""
        with self._lock:
            return [sent for sent in self._sent.values() if sent.acknowledged is not None]

    def missing(self) -> list[tuple[str, str]]:
        """Marks and recipients that were acknowledged and are not there yet."""
        with self._lock:
            return sorted(self._open)

    def kinds(self) -> Counter[str]:
        """Acknowledged messages by kind."""
        with self._lock:
            return Counter(sent.kind for sent in self._sent.values() if sent.acknowledged)

    def judge(self, crashes: Sequence[float], attempts: Mapping[str, Sequence[float]]) -> Verdict:
        """Judge it all; `attempts` are the begins of attempts by queue id, as far as known."""
        verdict = Verdict()
        with self._lock:
            self._judge_presence(verdict)
            self._judge_copies(verdict, sorted(crashes), attempts)
            _tell(verdict, "arrived, and nobody sent it", self.strange)
        return verdict

    def _judge_presence(self, verdict: Verdict) -> None:
        lost, torn, given_up, wrong = [], [], [], []
        for sent in self._sent.values():
            expected = sent.delivered_to | sent.reported
            arrived = {one for one in expected if (sent.mark, one) in self._arrivals}
            if sent.acknowledged is not None:
                verdict.acknowledged += 1
                verdict.recipients += len(sent.delivered_to)
                verdict.reports += len(sent.reported)
                lost += [f"{_named(sent)} for {one}" for one in sorted(expected - arrived)]
            else:
                verdict.unacknowledged += 1
                verdict.unacknowledged_arrived += bool(arrived)
            if sent.abandoned and arrived:
                given_up.append(_named(sent))
        for (mark, recipient), copies in self._arrivals.items():
            sent = self._sent[mark]
            expected = sent.delivered_to | sent.reported
            if recipient not in expected:
                wrong.append(f"{_named(sent)} for {recipient}")
            torn += [f"{_named(sent)} for {recipient}" for one in copies if not one.whole]
            if any(one.report != (recipient in sent.reported) for one in copies):
                wrong.append(f"{_named(sent)} for {recipient}, a report or none")
        verdict.lost = len(lost)
        _tell(verdict, "acknowledged and lost", lost)
        _tell(verdict, "not whole", torn)
        _tell(verdict, "given up by its client, and delivered", given_up)
        _tell(verdict, "where it does not belong", wrong)

    def _judge_copies(
        self, verdict: Verdict, crashes: Sequence[float], attempts: Mapping[str, Sequence[float]]
    ) -> None:
        unexplained = []
        for (mark, recipient), copies in self._arrivals.items():
            extra = len(copies) - 1
            if not extra:
                continue
            verdict.extra += extra
            verdict.most_extra = max(verdict.most_extra, extra)
            sent = self._sent[mark]
            begins = [] if copies[0].report else attempts.get(sent.queue_id, ())
            if not _explained(sorted(copies, key=lambda one: one.began), sent, begins, crashes):
                unexplained.append(f"{_named(sent)} for {recipient}: {extra + 1} copies")
        _tell(verdict, "more copies than crashes explain", unexplained)


def _explained(
    copies: Sequence[Arrival], sent: Sent, begins: Sequence[float], crashes: Sequence[float]
) -> bool:
    """Whether each copy but the first has a crash of its own."""
    used = 0  # crashes up to here are taken
    for earlier, later in itertools.pairwise(copies):
        since = max((begin for begin in begins if begin <= earlier.began), default=sent.began)
        first = max(bisect_right(crashes, since), used)
        if first >= len(crashes) or crashes[first] > later.began:
            return False
        used = first + 1
    return True


def _named(sent: Sent) -> str:
    return f"{sent.mark} ({sent.kind}, {sent.queue_id or 'not acknowledged'})"


def _tell(verdict: Verdict, what: str, cases: Iterable[str]) -> None:
    cases = list(cases)
    verdict.failures += [f"{what}: {case}" for case in cases[:_SHOWN]]
    if len(cases) > _SHOWN:
        verdict.failures.append(f"{what}: {len(cases) - _SHOWN} more")
