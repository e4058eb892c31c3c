"""The proof of clocks: whatever a clock says, mail is kept, tried and told of as if it were right.

A system under traffic has its clock set by hours and years, and its machine sleeps for a week. A
second one, decades away, delivers into the same mailboxes; its messages become too old within
seconds, and they alone. At last the first is stopped with mail in its queue and started under
another clock. Only lower bounds of time are asserted: how long a try takes is the machine's affair.
"""

import contextlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from support.clock import DAY, HOUR, YEAR, FalseClock
from support.instance import Instance
from support.processes import kill
from support.smtp_peer import Script, SmtpPeer
from support.waiting import wait_until

from reliability.clock.mail import BOX, MOST_TRIES, Letter, Letters, Mailbox, Moods, Traffic
from reliability.proof import Report, Run, Table

__all__ = ["prove"]

_EARLIEST: Final = DAY  # of 1970; Linux knows no time before that year
_LATEST: Final = 262 * YEAR  # Linux sets its clock no further than 2232
_LIFETIME: Final = 5.0  # seconds of the second system
_PATIENCE: Final = 60.0  # seconds for what takes one or two
_KILLED: Final = ("smtp", "rewrite")  # rows whose end repeats no delivery and no report
_KILL_EVERY: Final = 5  # jumps
_OLD_EVERY: Final = 8
_KEPT: Final = 5  # messages that another clock finds
_WAITING: Final = 3  # messages at least that wait while the clock is set
_ALARMS: Final = ("internal_error", "queue_error", "scan_failed", "unreadable", "corrupt", "held")


def _by(seconds: float) -> Callable[[FalseClock], None]:
    """Set the clock by so much; from the truth where it would leave the years that Linux knows."""

    def jump(clock: FalseClock) -> None:
        goal = clock.now + seconds
        clock.set(goal if _EARLIEST <= goal <= _LATEST else time.time() + seconds)

    return jump


def _to(moment: float) -> Callable[[FalseClock], None]:
    return lambda clock: clock.set(moment)


_Work = dict[int, tuple[str, int]]  # process -> row, ticks of CPU time
_SLEEP: Final = "a week's sleep"
_JUMPS: Final[dict[str, Callable[[FalseClock], None]]] = {
    "an hour forwards": _by(HOUR),
    "an hour back": _by(-HOUR),
    "ten years forwards": _by(10 * YEAR),
    "ten years back": _by(-10 * YEAR),
    "to 1970": _to(_EARLIEST),
    "to the end of 31 bits, 2038": _to(2.0**31 - 2),
    "to the end of 32 bits, 2106": _to(2.0**32 - 2),
    "to 2232": _to(_LATEST - YEAR),
    "to the truth": lambda clock: clock.jump(-clock.offset),
    _SLEEP: _by(7 * DAY),
}


def prove(run: Run) -> Report:
    """Set clocks, and see whether anything comes of it."""
    report = Report()
    with ExitStack() as stack:
        trial = _Trial(run, report, stack)
        try:
            trial.live()
            trial.take_over()
            trial.judge()
        except AssertionError as error:
            report.failures.append(f"{error}; after: {', '.join(trial.jumped[-5:])}")
        trial.tell()
    return report


class _Trial:
    """Two systems, their clocks, and what became of their mail."""

    def __init__(self, run: Run, report: Report, stack: ExitStack) -> None:
        self._run = run
        self._report = report
        self._chance = run.random("jumps")
        self._letters = Letters()
        self._moods = Moods()
        self._peer = stack.enter_context(SmtpPeer(Script(rcpt=self._moods)))
        self._clock = FalseClock(run.folder / "clock")
        self._far_clock = FalseClock(run.folder / "far-clock")
        self._far_clock.jump(self._chance.choice((-40, 40)) * YEAR)
        self._system = self._made("system", self._clock, {"delay_warning_time": 4 * HOUR})
        self._far_system = self._made(
            "far-system",
            self._far_clock,
            {"maximal_queue_lifetime": _LIFETIME, "virtual_mailbox_base": str(self._system.mail)},
        )
        for instance in (self._system, self._far_system):
            stack.enter_context(_running(instance))
        self._box = Mailbox(self._system.mail, BOX)
        self._told = Mailbox(self._system.mail, "told")
        self._kinds = _deck(run.size, self._chance)
        self._waiting: dict[str, int] = {}  # mark -> tries when the clock was last set
        self._in_queue: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()
        self._started: set[int] = set()  # processes that are no new ones
        self._slowest = 0.0
        self._restarts = 0
        self._early: set[str] = set()
        self.jumped: list[str] = []

    def _made(self, name: str, clock: FalseClock, parameters: dict[str, object]) -> Instance:
        shared: dict[str, object] = {
            "relayhost": f"[127.0.0.1]:{self._peer.port}",
            "minimal_backoff_time": 0.5,
            "maximal_backoff_time": 1.0,
            "queue_run_delay": 2.0,
        }
        instance = Instance(self._run.folder / name, shared | parameters)
        instance.python = str(clock.python)
        return instance

    # Life under jumps

    def live(self) -> None:
        """Let mail flow while both clocks are set."""
        (qmgr,) = self._system.wait_ready("qmgr")
        beside = self._run.random("beside")
        with (
            Traffic(self._letters, self._system, self._run.random("traffic")),
            Traffic(self._letters, self._far_system, beside, ("local",)),
        ):
            for number, kind in enumerate(self._kinds):
                if number % _OLD_EVERY == 0:
                    self._letters.insist(self._far_system, "old")
                self._defer("later", _WAITING)
                self._jump(kind)
                # Sometimes the next jump comes before anything was tried.
                last = number == len(self._kinds) - 1
                if last or self._chance.random() > 0.3:
                    self._await_tries()
                if number % _KILL_EVERY == _KILL_EVERY - 1:
                    self._kill(_KILLED[number // _KILL_EVERY % len(_KILLED)])
                self._run.progress(number + 1, f"{len(self._letters.sent)} messages")
        _JUMPS["to the truth"](self._clock)
        self._await_empty()
        if self._system.pids("qmgr") != [qmgr]:
            self._fail("the queue manager did not live through it: see its log")

    def _jump(self, kind: str) -> None:
        self._letters.chapter = len(self.jumped)
        self.jumped.append(kind)
        self._in_queue[kind] += len(self._system.messages("incoming", "deferred"))
        far = self._chance.choice([other for other in _JUMPS if other != _SLEEP])
        _JUMPS[far](self._far_clock)
        if kind == _SLEEP:
            with self._clock.sleeping(self._system, 7 * DAY):
                time.sleep(0.1)
        else:
            _JUMPS[kind](self._clock)
        waiting = {
            letter.mark: self._moods.tries[letter.mark]
            for letter in self._letters.of("later")
            if self._moods.waits(letter)
        }
        self._waiting |= waiting
        self._tried[kind] += len(waiting)

    def _defer(self, kind: str, count: int) -> list[Letter]:
        """Have messages in the queue that were tried, and are to be tried again."""
        letters = [self._letters.insist(self._system, kind, MOST_TRIES) for _ in range(count)]

        def tried() -> bool:
            return all(self._moods.tries[letter.mark] for letter in letters)

        wait_until(tried, f"a first try of {count} messages", _PATIENCE)
        return letters

    def _await_tries(self) -> None:
        """Wait until each deferred message was tried once more, and see who works too hard."""
        waiting, self._waiting = self._waiting, {}
        began, before = time.monotonic(), _ticks(self._system)

        def all_tried() -> bool:
            self._look()
            return all(self._moods.tries[mark] > tries for mark, tries in waiting.items())

        wait_until(all_tried, f"another try of {len(waiting)} messages", _PATIENCE)
        elapsed = time.monotonic() - began
        self._slowest = max(self._slowest, elapsed)
        self._judge_work(before, _ticks(self._system), elapsed)

    def _judge_work(self, before: _Work, after: _Work, elapsed: float) -> None:
        """A loop without a pause takes all the time; so does a start, and that is none."""
        for pid in self._started & before.keys() & after.keys():
            row, ticks = after[pid]
            used = ticks - before[pid][1]
            if used > 10 + 0.6 * elapsed * os.sysconf("SC_CLK_TCK"):
                self._fail(f"{row} was busy all the time {self._after()}")
        self._started = set(after)

    def _kill(self, row: str) -> None:
        """Kill a row's processes: others must come at once, whatever the clock says."""
        killed = self._system.processes(row)
        for process in killed:
            kill(process)
        dead = {process.pid for process in killed}
        wait_until(lambda: set(self._system.pids(row)) - dead, f"another {row}", _PATIENCE)
        self._restarts += 1

    def _await_empty(self) -> None:
        systems = (self._system, self._far_system)

        def empty() -> bool:
            self._look()
            return not any(system.messages("incoming", "deferred") for system in systems)

        wait_until(empty, "two empty queues", _PATIENCE)

    def _look(self) -> None:
        """Read the mailboxes; whoever is told that a message is too old is told in time."""
        self._box.look()
        self._told.look()
        sent = {letter.mark: letter.sent for letter in self._letters.of("old")}
        for mark, _, _, when in self._told.told:
            if mark in sent and when - sent[mark] < _LIFETIME and mark not in self._early:
                self._early.add(mark)
                self._fail(f"{mark} was too old after {when - sent[mark]:.1f} s: {self._after()}")

    # Another clock over an old queue

    def take_over(self) -> None:
        """Stop with mail in the queue, set the clock by years, and start: twice."""
        for years in (30, -30):
            self._letters.chapter = len(self.jumped)
            self.jumped.append(f"taken over, {years:+} years")
            self._moods.relents = False
            self._defer("kept", _KEPT)
            wait_until(lambda: not self._system.messages("incoming"), "deferred mail", _PATIENCE)
            self._system.stop()
            self._in_queue[self.jumped[-1]] += len(self._system.messages("deferred"))
            self._clock.jump(years * YEAR)
            self._moods.relents = True
            self._system.start()
            self._await_empty()

    # Judgement

    def judge(self) -> None:
        """Hold what arrived, and what senders were told, against what was acknowledged."""
        for kind in sorted(set(self._kinds)):
            if not self._tried[kind]:
                self._fail(f"nothing was waiting when the clock was set {kind}")
        self._look()
        arrived = Counter(self._box.subjects)
        for each in self._peer.messages:
            arrived.update(to.partition("@")[0] for to in each.recipients)
        told = Counter(mark for mark, *_ in self._told.told)
        for letter in self._letters.sent:
            wanted = (0, 1) if letter.kind in ("never", "old") else (1, 0)
            found = (arrived[letter.mark], told[letter.mark])
            if found != wanted and (letter.acknowledged or sum(found) > 1):
                self._fail(
                    f"{letter.mark}, sent {self._after(letter)}: arrived {found[0]} times, "
                    f"its sender was told {found[1]} times; see the logs for its Subject"
                )
        for mark, action, status, _ in self._told.told:
            old = mark.startswith("old-")
            if action != "failed" or old != (status == "5.4.7"):
                self._fail(f"the sender of {mark} was told: {action}, {status}")
        for instance in (self._system, self._far_system):
            self._judge_log(instance)

    def _judge_log(self, instance: Instance) -> None:
        for event in _ALARMS:
            for record in instance.log_records(event)[:3]:
                self._fail(f"{instance.log_file}: {record}")
        for crash in instance.log_file.parent.rglob("crash-*.log"):
            if text := crash.read_text(errors="replace"):
                self._fail(f"{crash}: {text[-500:]}")
        if not instance.log_records("clock_jumped"):
            self._fail(f"{instance.log_file}: no queue manager noticed a jump")

    def tell(self) -> None:
        """The figures."""
        kept = [letter for letter in self._letters.sent if letter.acknowledged]
        jumps = Counter(self.jumped)
        noticed = self._system.log_records("clock_jumped")
        self._report.figures |= {
            "jumps": str(len(self.jumped)),
            "of them told of by the queue manager": str(len(noticed)),
            "messages acknowledged": str(len(kept)),
            "of them from the system decades away": str(
                len(self._far_system.log_records("accepted"))
            ),
            "too old, and told so in time": str(len(self._letters.of("old"))),
            "longest wait for another try after a jump": f"{self._slowest:.1f} s",
            "daemons killed, and there again": str(self._restarts),
        }
        sent = Counter(self.jumped[letter.chapter] for letter in kept if letter.chapter >= 0)
        rows = tuple(
            (
                kind,
                str(jumps[kind]),
                str(self._in_queue[kind]),
                str(self._tried[kind]) if kind in _JUMPS else "-",
                str(sent[kind]),
            )
            for kind in (*_JUMPS, *(kind for kind in jumps if kind not in _JUMPS))
        )
        heads = ("the clock is set", "jumps", "in the queue then", "tried again", "sent after it")
        self._report.tables.append(Table("Jumps by their kind, and messages", heads, rows))

    def _after(self, letter: Letter | None = None) -> str:
        jumps = self.jumped if letter is None else self.jumped[: letter.chapter + 1]
        return f"after {' and '.join(jumps[-2:])}" if jumps else "before any jump"

    def _fail(self, text: str) -> None:
        self._report.failures.append(text)


def _deck(size: int, chance: random.Random) -> list[str]:
    """So many kinds in random order, each as often as another, as far as that goes."""
    deck: list[str] = []
    while len(deck) < size:
        deck += chance.sample(list(_JUMPS), len(_JUMPS))
    return deck[:size]


def _ticks(instance: Instance) -> _Work:
    """What each process of the system has done so far."""
    found = {}
    for process in instance.processes():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            text = Path("/proc", str(process.pid), "stat").read_text()
            fields = text.rpartition(")")[2].split()
            name = process.service or "supervisord"
            found[process.pid] = (name, int(fields[11]) + int(fields[12]))
    return found


@contextlib.contextmanager
def _running(instance: Instance) -> Iterator[None]:
    instance.start()
    try:
        yield
    finally:
        with contextlib.redirect_stdout(sys.stderr):
            instance.close()
