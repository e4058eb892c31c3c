"""Deaths of processes: daemons and supervisord are killed at every stage of their work.

The system carries mixed mail all the while. Several rows are under attack at once, each with one
stage, the least struck first; what counts is what was struck, not what was intended. Supervisord is
killed now and then, and started again as an operator would.
"""

import os
import random
import signal
import threading
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Final

from support.tracing import Kill, Trace
from support.waiting import wait_until

from reliability.house import House, Record
from reliability.ledger import Verdict
from reliability.load import Load
from reliability.proof import Report, Run, Table
from reliability.torture.stages import MASTER, ROWS, STAGES, AtCall, AtRecord, Stage, classify

__all__ = ["prove"]

_AT_ONCE: Final = 4  # rows under attack
_PATIENCE: Final = 3.0  # seconds in which a stage must be struck
_MASTER_EVERY: Final = 60  # deaths from one of supervisord's to the next
_STAGE_SHARE: Final = 15  # deaths for each stage that make a whole histogram sure
_NEVER: Final = ("internal_error", "corrupt", "held", "outcome_ignored", "malformed")


def prove(run: Run) -> Report:
    """Kill `run.size` processes, and hold the ledger against what arrived."""
    with House(run.folder) as house:
        seen = Counter[str]()
        house.log.tell(lambda record: seen.update([record["event"]]))
        with Load(house.ledger, house.instance, run.random("load"), rate=8.0):
            torture = _Torture(house, run)
            torture.rage()
        settled = house.settle(120.0)
        verdict = house.ledger.judge(house.crashes, house.attempts)
        report = _report(torture, verdict, house)
        if not settled:
            report.failures.append(
                f"not settled: {len(house.ledger.missing())} recipients, files "
                f"{[path.name for path in house.instance.messages()][:5]}"
            )
        report.failures += [
            f"{seen[event]} records {event} in the mail log" for event in _NEVER if seen[event]
        ]
        report.failures += [
            f"{path} is left" for path in house.instance.queue_files("corrupt", "hold")
        ]
        report.failures += [f"{name}: {text}" for name, text in house.crash_logs().items()]
    whole = run.size >= _STAGE_SHARE * len(STAGES)
    missed = [str(stage) for stage in STAGES if not torture.hits[stage]]
    if whole:
        report.failures += [f"never struck: {stage}" for stage in missed]
    struck = {stage.row for stage in torture.hits}
    report.failures += [f"no process of {row} was struck" for row in ROWS if row not in struck]
    return report


class _Torture:
    """The attacks of one run."""

    def __init__(self, house: House, run: Run) -> None:
        self.hits: Counter[Stage] = Counter()
        self.elsewhere = 0  # deaths at calls that are no stage's
        self._house = house
        self._run = run
        self._source = run.random("stages")
        self._tried: Counter[Stage] = Counter()
        self._records = _RecordKiller(house)
        self._traces = run.folder / "traces"
        self._traces.mkdir()

    @property
    def deaths(self) -> int:
        """Processes killed so far."""
        return len(self._house.crashes)

    def rage(self) -> None:
        """Kill until there are enough."""
        next_master = _MASTER_EVERY // 2
        attacks: dict[Future[None], str] = {}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while self.deaths < self._run.size or self._lacks_rows:
                if self.deaths >= next_master and not attacks:
                    self._attack_master()
                    next_master = self.deaths + _MASTER_EVERY
                while len(attacks) < _AT_ONCE and self.deaths < next_master:
                    stage = self._choose(set(attacks.values()) | {MASTER})
                    attacks[pool.submit(self._attack, stage)] = stage.row
                done, _ = wait(attacks, return_when=FIRST_COMPLETED)
                for attack in done:
                    del attacks[attack]
                    attack.result()
                self._run.progress(self.deaths, f"{len(self.hits)} of {len(STAGES)} stages struck")

    @property
    def _lacks_rows(self) -> bool:
        """Whether a row was not struck, and there is hope: some have little to do."""
        struck = {stage.row for stage in self.hits}
        return self.deaths < 2 * self._run.size and not struck.issuperset(ROWS)

    def _choose(self, rows: set[str]) -> Stage:
        """The stage of a row not among these that was struck and tried least."""
        free = [stage for stage in STAGES if stage.row not in rows]
        return self._least(free)

    def _least(self, stages: list[Stage]) -> Stage:
        struck = {stage.row for stage in self.hits}
        stage = min(
            stages,
            key=lambda one: (
                (one.row in struck) + self.hits[one] + self._tried[one] / 4 + self._source.random()
            ),
        )
        self._tried[stage] += 1
        return stage

    def _attack(self, stage: Stage) -> None:
        if isinstance(stage, AtRecord):
            if self._records.strike(stage, _PATIENCE):
                self.hits[stage] += 1
            return
        with suppress(AssertionError):  # the row has no process now, or it ended by itself
            pids = wait_until(lambda: self._house.instance.pids(stage.row), stage.row, _PATIENCE)
            self._attack_at_call(stage, random.Random(self._tried[stage]).choice(pids))

    def _attack_at_call(self, stage: AtCall, pid: int) -> None:
        nth = self._source.randint(1, stage.most)
        output = self._traces / f"{self._source.getrandbits(64):x}"
        trace = Trace(pid, output, stage.calls, Kill(stage.calls, nth))
        with trace, suppress(AssertionError):
            wait_until(trace.struck, str(stage), _PATIENCE)
        if struck := trace.struck():  # perhaps at the last moment
            self._house.crash(trace.died())
            found = classify(stage.row, struck)
            if found is not None:
                self.hits[found] += 1
            else:
                self.elsewhere += 1
        output.unlink()

    def _attack_master(self) -> None:
        house = self._house
        stage = self._least([stage for stage in STAGES if stage.row == MASTER])
        assert isinstance(stage, AtCall)
        with suppress(AssertionError):
            master = house.instance.supervisord.pid
            # It has something to do: a row whose process dies is to have another one.
            killer = threading.Timer(0.1, self._kill_one, ["cleanup"])
            killer.start()
            self._attack_at_call(stage, master)
            killer.join()
        if not self._master_lives():
            house.restart()

    def _master_lives(self) -> bool:
        try:
            return bool(self._house.instance.supervisord)
        except AssertionError:
            return False

    def _kill_one(self, row: str) -> None:
        for pid in self._house.instance.pids(row)[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self._house.crash()


class _RecordKiller:
    """Kills the process that writes a record, when the log has it."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._wanted: dict[tuple[str, str], threading.Event] = {}
        house.log.tell(self._hear)

    def strike(self, stage: AtRecord, patience: float) -> bool:
        """Wait for the next such record and kill its process; False if none came."""
        struck = threading.Event()
        self._wanted[stage.row, stage.event] = struck
        struck.wait(patience)
        self._wanted.pop((stage.row, stage.event), None)
        return struck.is_set()

    def _hear(self, record: Record) -> None:
        name = (record["service"], record["event"])
        if name not in self._wanted or record["pid"] not in self._house.instance.pids(name[0]):
            return
        struck = self._wanted.pop(name, None)
        if struck is not None:
            with suppress(ProcessLookupError):
                os.kill(record["pid"], signal.SIGKILL)
                self._house.crash()
                struck.set()


def _report(torture: _Torture, verdict: Verdict, house: House) -> Report:
    kinds = house.ledger.kinds()
    figures = {
        "processes killed": f"{torture.deaths:,}",
        "stages, of which struck": f"{len(STAGES)}, {len(torture.hits)}",
        "deaths at other calls": str(torture.elsewhere),
        "messages acknowledged": f"{verdict.acknowledged:,}",
        "by kind": ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items())),
        "recipients delivered to": f"{verdict.recipients:,}",
        "recipients reported to the sender": f"{verdict.reports:,}",
        "sent without an answer, of which delivered": (
            f"{verdict.unacknowledged:,}, {verdict.unacknowledged_arrived:,}"
        ),
        "extra copies, most of one recipient": f"{verdict.extra:,}, {verdict.most_extra}",
        "lost": str(verdict.lost),
    }
    rows = tuple(
        (stage.row, str(stage).partition(": ")[2], str(torture.hits[stage])) for stage in STAGES
    )
    return Report(
        figures, [Table("Deaths by stage", ("row", "stage", "deaths"), rows)], verdict.failures
    )
