"""Rounds of faults under a load that never pauses: each strikes, holds, and is lifted.

The law: while a fault holds clients hear 2xx or 4xx; who cannot be served is told before he sends
his content, but for those whom it surprised; the log is loud; what can go on goes on. Afterwards
all is as before, by itself: no process was started anew, mail is taken, what waited arrives. And in
the end the ledger is right: each recipient once, for nothing was killed.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from support.waiting import wait_until

from reliability.fulldisk.faults import FAULTS, Fault
from reliability.fulldisk.house import SMTPD_PROCESSES, StorageHouse
from reliability.load import Load
from reliability.proof import Report, Run, Table

__all__ = ["prove"]

_CLIENTS: Final = 4
_RATE: Final = 6.0  # messages a second and client
_HOLD: Final = (1.0, 2.5)  # seconds
_TAKEN: Final = 20.0  # seconds; smtpd waits ten and then tries one message a second
_DELIVERED: Final = 30.0  # seconds; what waits here waits for two at most

_FIRST: Final = 30  # messages of a system that is well
_COUNTED: Final = ("rounds", "accepted", "before", "after", "deferred")


@dataclass
class Kind:
    """What the rounds of one kind of fault brought."""

    counts: Counter[str] = field(default_factory=Counter)
    taken: float = 0.0  # seconds after the fault until mail was taken again, the most
    delivered: float = 0.0  # and until all that had waited was there


class Trial:
    """The rounds, one after the other."""

    def __init__(self, run: Run, house: StorageHouse) -> None:
        self._run = run
        self._house = house
        self._source = run.random("faults")
        self.kinds: dict[str, Kind] = {}
        self.failures: list[str] = []
        self.repeats: list[float] = []  # what may cost a copy; seconds since the epoch

    def rounds(self) -> None:
        """Each kind in the order of the table, then again in any other."""
        self._wait(
            "before the first round",
            lambda: self._house.witness.counts()["accepted"] >= _FIRST,
            f"{_FIRST} messages",
            _TAKEN,
        )
        order: list[Fault] = []
        for number in range(self._run.size):
            if not order:
                order = list(FAULTS)
                if number:
                    self._source.shuffle(order)
            fault = order.pop(0)
            self._run.progress(number, fault.name)
            self._round(f"round {number + 1}, {fault.name}", fault)

    def _round(self, name: str, fault: Fault) -> None:
        house, kind = self._house, self.kinds.setdefault(fault.name, Kind())
        begun, told = house.witness.counts(), house.events.counts()
        deferred = len(house.events.deferrals)
        with fault.strike(house, self._source):
            threading.Event().wait(self._source.uniform(*_HOLD))
            self._wait_delivered(name, fault.goes_on)
            accepted = (house.witness.counts() - begun)["accepted"]
        kind.taken = max(kind.taken, self._wait_taken(name))
        kind.delivered = max(kind.delivered, self._wait_delivered(name, lambda _: True))
        said = house.events.counts() - told
        counts = house.witness.counts() - begun
        kind.counts += counts
        kind.counts += Counter(rounds=1, deferred=said["delivery deferred"])
        if fault.may_repeat:
            self.repeats += house.events.deferrals[deferred:]
        self._judge(name, fault, counts, accepted, said)

    def _judge(
        self, name: str, fault: Fault, counts: Counter[str], accepted: int, said: Counter[str]
    ) -> None:
        if not any(said[event] for event in fault.tells):
            self._fail(name, f"the log has none of {', '.join(fault.tells)}")
        if not fault.refuses and counts["before"] + counts["after"]:
            self._fail(name, f"{counts['before'] + counts['after']} messages refused without need")
        # Those in flight as it strikes; and each that is taken all the same lets others try.
        surprised = 2 * _CLIENTS + accepted
        if counts["after"] > surprised:
            self._fail(name, f"{counts['after']} messages read and then refused")

    def _wait_taken(self, name: str) -> float:
        """Wait until mail is taken again, by the seconds that it took the first message."""
        lifted, house = time.time(), self._house
        before = house.witness.counts()["accepted"]
        self._wait(name, lambda: house.witness.counts()["accepted"] > before, "a 250", _TAKEN)
        taken = time.time() - lifted

        def all_take() -> bool:
            counts = house.events.accepted_since(lifted)
            return sum(count > 1 for count in counts.values()) == SMTPD_PROCESSES

        # Each process learns by itself: the next round is to begin without what one remembers.
        self._wait(name, all_take, "every smtpd to take mail", _TAKEN)
        return taken

    def _wait_delivered(self, name: str, whom: Callable[[str], bool]) -> float:
        """Wait for all that such recipients are missing now, by the seconds that it took."""
        began, ledger = time.monotonic(), self._house.ledger
        waiting = {each for each in ledger.missing() if whom(each[1])}
        self._wait(
            name,
            lambda: not waiting.intersection(ledger.missing()),
            f"the delivery of {len(waiting)} copies",
            _DELIVERED,
        )
        return time.monotonic() - began

    def _wait(self, name: str, look: Callable[[], bool], what: str, timeout: float) -> None:
        try:
            wait_until(look, what, timeout)
        except AssertionError as error:
            self._fail(name, str(error))

    def _fail(self, name: str, text: str) -> None:
        self.failures.append(f"{name}: {text}")


def prove(run: Run) -> Report:
    """Run the rounds, and judge what clients, log and mailboxes say."""
    report = Report()
    with StorageHouse(run.folder) as house:
        resident = _resident(house)
        trial = Trial(run, house)
        load = Load(
            house.ledger,
            house.witness.as_instance(),
            run.random("load"),
            clients=_CLIENTS,
            rate=_RATE,
        )
        with load:
            trial.rounds()
        report.failures += trial.failures
        if not house.settle():
            report.failures.append(f"the queue is not empty: {house.instance.story()}")
        _judge_house(house, resident, report)
        _judge_mail(house, trial, report)
    _tabulate(run, trial, report)
    return report


def _resident(house: StorageHouse) -> set[int]:
    return {house.instance.supervisord.pid, *house.instance.pids("qmgr")}


def _judge_house(house: StorageHouse, resident: set[int], report: Report) -> None:
    """Nothing was started anew, nothing crashed, and nothing is left over."""
    failures, instance = report.failures, house.instance
    if _resident(house) != resident:
        failures.append("the master or the queue manager is not the one that it was")
    crashes = house.crash_logs().items()  # the log row's complaints are there as well
    failures += [f"{name}: {text[-500:]}" for name, text in crashes if "Traceback" in text]
    if failed := house.events.counts()["failed"]:
        failures.append(f"{failed} processes failed: see the log")
    failures += [f"left over: {path}" for path in instance.queue_files()]
    failures += [f"left over: {path}" for path in instance.mail.glob("*/*/tmp/*")]
    failures += house.witness.wrong


def _judge_mail(house: StorageHouse, trial: Trial, report: Report) -> None:
    verdict = house.ledger.judge(trial.repeats, house.attempts)
    report.failures += verdict.failures
    flushes = trial.kinds.get("queue flush fails", Kind()).counts["after"]
    if verdict.unacknowledged_arrived > flushes:
        report.failures.append(f"{verdict.unacknowledged_arrived} refused messages arrived")
    counts = sum((kind.counts for kind in trial.kinds.values()), Counter[str]())
    report.figures |= {
        "rounds": str(counts["rounds"]),
        "messages acknowledged": str(verdict.acknowledged),
        "their recipients": str(verdict.recipients),
        "extra copies, for a mailbox folder's flush had failed": str(verdict.extra),
        "reports to their senders": str(verdict.reports),
        "messages refused before their content": str(counts["before"]),
        "messages read and then refused": str(counts["after"]),
        "of those, delivered all the same": str(verdict.unacknowledged_arrived),
    }


def _tabulate(run: Run, trial: Trial, report: Report) -> None:
    rows = []
    for fault in FAULTS[: run.size]:
        kind = trial.kinds.get(fault.name, Kind())
        if not kind.counts["rounds"] or (fault.refuses and not kind.counts["before"]):
            report.failures.append(f"{fault.name}: struck nothing")
        counts = [kind.counts[what] for what in _COUNTED]
        seconds = (f"{kind.taken:.1f} s", f"{kind.delivered:.1f} s")
        rows.append((fault.name, *map(str, counts), *seconds))
    heads = (
        "fault",
        "rounds",
        "acknowledged",
        "refused before content",
        "refused after it",
        "deliveries deferred",
        "taken again after",
        "all delivered after",
    )
    report.tables.append(Table("Faults of disks, under load", heads, tuple(rows)))
