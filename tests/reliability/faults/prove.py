"""Errors at every system call of accept and delivery, one by one, while mail of all kinds passes.

A cell is a call that a daemon was seen to make, on a kind of descriptor, with an error that it can
give there. Each is struck by strace in a running process: once, or for a second where such an error
stays in life. The law that is tried: clients hear 2xx or 4xx, or their connection breaks; nobody is
bounced for an error of ours; nothing acknowledged is lost; copies beyond the first are explained by
deaths, and by faults that kept an outcome from being told; who refuses or defers says why; and all
of it goes on by itself, with no hand to help.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from support.instance import DOMAIN

from mta.queue.room import NO_SPACE, WRITE_ERROR
from reliability.faults.deaths import Death, Deaths
from reliability.faults.matrix import ROWS, Matrix
from reliability.faults.strikes import MASTER, Cell, Striker, Trial
from reliability.faults.system_calls import Spot, is_mortal, may_cost_copy
from reliability.house import House, Record
from reliability.load import KINDS, Kind, Load, Refusal
from reliability.proof import Report, Run, Table

__all__ = ["prove"]

_BATCH: Final = 50  # cells between two judgements
_WHOLE: Final = 200  # cells from which a run counts as one of the whole matrix
_SETTLE_TIME: Final = 90.0  # seconds
_LATE: Final = 30.0  # seconds that a client waits for a reply
_BEFORE, _AFTER = 3.0, 1.0  # seconds around a refusal in which somebody says why
# What smtpd says once, and then acts upon until cleanup has taken a message again: a try a second
# after ten seconds, each of which cleanup tells of.
_REMEMBERED: Final = frozenset({str(NO_SPACE), str(WRITE_ERROR)})
_MEMORY: Final = 12.0  # seconds
_START: Final = 5.0  # seconds in which a process starts that the master was struck over
# A mailbox that does not exist yet is made with the first message.
_KINDS: Final = {**KINDS, "newcomer": Kind(1, (f"new-{{mark}}@{DOMAIN}",))}
_ENDING: Final = 421  # says a server that we have made to end in order
_BIRTH: Final = 2.0  # seconds in which a process whose start went wrong has ended
_SHOWN: Final = 40  # rows of a table
_PROCESSES: Final = 3  # of one row, at most: one, one that retires, one that begins


@dataclass
class _Findings:
    """What a run has brought so far."""

    trials: list[Trial] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    refusals: int = 0
    broken: int = 0
    restarts: int = 0  # of the master
    deaths: Counter[str] = field(default_factory=Counter)  # by cell


class _Ears:
    """Hears the log's loud lines, and which processes got as far as to serve."""

    def __init__(self) -> None:
        self.loud: list[tuple[float, str, str]] = []  # time, event, row
        self.serving: set[int] = set()  # pids

    def __call__(self, record: Record) -> None:
        if record["event"] == "started":
            self.serving.add(record["pid"])
        if record["level"] in ("warning", "error") and not _is_of_the_peer(record):
            self.loud.append((record["time"], record["event"], record["service"]))


def _was_the_masters(death: Death, trials: Iterable[Trial]) -> bool:
    """Whether the master was struck while it started this process."""
    return any(
        trial.cell.row == MASTER and 0 <= death.time - strike.time <= _START
        for trial in trials
        for strike in trial.strikes
    )


def _is_of_the_peer(record: Record) -> bool:
    """Whether it tells of what the next host refuses anyway."""
    names = ("later-", "never-", "shaky-")
    return record["event"] == "delivery" and str(record["to"]).startswith(names)


class _Proof:
    """One run."""

    def __init__(self, run: Run, house: House) -> None:
        self._run = run
        self._house = house
        (log,) = house.instance.log_file.parent.rglob("supervisord.log")
        self._deaths = Deaths(log)
        self._ears = _Ears()
        house.log.tell(self._ears)
        self._striker = Striker(house.instance, run.folder / "traces", self._ears.serving)
        self._whole = run.size >= _WHOLE
        self._matrix = Matrix(self._striker, run.random("cells"), self._ears.serving)
        self.findings = _Findings()
        self.explained: list[float] = []  # strikes that may cost a copy, seconds since the epoch

    # Trials

    def try_all(self) -> None:
        """Find out what there is to try, and try it, batch by batch."""
        with self._load("d"):
            cells = self._matrix.cells(whole=self._whole)[: self._run.size]
        self.findings.failures += self._matrix.unknown
        for start in range(0, len(cells), _BATCH):
            batch = cells[start : start + _BATCH]
            trials: list[Trial] = []
            with self._load(f"b{start}-") as load:
                for number, cell in enumerate(batch, start):
                    done = number / len(cells) * self._run.size  # there may be fewer
                    self._run.progress(done, f"cell {number} of {len(cells)}: {cell}")
                    trials.append(self._try(cell))
            self._judge(trials, load)

    def _load(self, prefix: str) -> Load:
        source = self._run.random(f"load {prefix}")
        house = self._house
        return Load(
            house.ledger,
            house.instance,
            source,
            clients=8,
            rate=5.0,
            prefix=prefix,
            timeout=_LATE,
            kinds=_KINDS,
        )

    def _try(self, cell: Cell) -> Trial:
        source = self._run.random(str(cell))
        trial = self._striker.strike(cell, self._matrix.nths(cell, source))
        if cell.spot[0] == "close" and cell.row != MASTER:
            # Where strace makes a close fail nothing is closed, as it is in life: no descriptor,
            # and no lock on a message, shall be left to the process.
            self._striker.turn_over(cell.row)
        self.explained += [
            strike.time for strike in trial.strikes if may_cost_copy(cell.row, strike.spot)
        ]
        self._revive()
        return trial

    def _note_deaths(self) -> list[Death]:
        """Who died since the last call; but not who was told to end before it was ready."""
        told = self._striker.ended
        new = self._deaths.new()
        deaths = [it for it in new if it.signal != "SIGTERM" or it.pid not in told]
        self._house.crashes += [death.time for death in deaths]
        return deaths

    def _revive(self) -> None:
        """The master may end for want of memory; its own master starts it again."""
        if self._striker.processes(MASTER):
            return
        self._house.crash()
        self.findings.restarts += 1
        self._house.restart()

    # Judgement

    def _judge(self, trials: list[Trial], load: Load) -> None:
        found = self.findings
        found.trials += trials
        found.refusals += load.refused
        found.broken += load.broken
        settled = self._house.settle(_SETTLE_TIME)
        deaths = self._note_deaths()
        failures = [] if settled else ["it does not settle: see the log"]
        if load.late:
            failures.append(f"{load.late} clients waited {_LATE:.0f} s in vain")
        failures += self._judge_refusals(load.refusals)
        failures += [text for death in deaths for text in self._judge_death(death, trials)]
        failures += self._judge_processes()
        crashes = [*self._house.crashes, *self.explained]
        told = set(found.failures)
        verdict = self._house.ledger.judge(crashes, self._house.attempts)
        failures += [text for text in verdict.failures if text not in told]
        if failures:
            names = "; ".join(str(trial.cell) for trial in trials if trial.strikes)
            found.failures += failures
            found.failures.append(f"the cells of the failures before this: {names}")

    def _judge_refusals(self, refusals: Iterable[Refusal]) -> Iterator[str]:
        moments = [moment for moment, _, _ in self._ears.loud]
        for refusal in refusals:
            if refusal.reply.code >= 500:
                yield f"a client was refused for good at {refusal.time:.3f}: {refusal.reply}"
            before = _MEMORY if str(refusal.reply) in _REMEMBERED else _BEFORE
            since, until = refusal.time - before, refusal.time + _AFTER
            if refusal.reply.code != _ENDING and not any(
                since <= moment <= until for moment in moments
            ):
                yield f"refused at {refusal.time:.3f}, and no line says why: {refusal.reply}"

    def _judge_death(self, death: Death, trials: Sequence[Trial]) -> Iterator[str]:
        """Who dies was struck: while it started, or where it may die of that."""
        attacks = [trial for trial in trials if trial.strikes and _concerns(trial, death)]
        name = str(attacks[-1].cell) if attacks else f"{death.row}: nothing that struck it"
        self.findings.deaths[name] += 1
        mortal = any(is_mortal(strike.spot) for trial in attacks for strike in trial.strikes)
        began = death.pid in self._ears.serving
        if not mortal and (began or not (attacks or _was_the_masters(death, trials))):
            yield f"{death.text}, after {name}: it should live through that"

    def _judge_processes(self) -> Iterator[str]:
        for row in ROWS:
            processes = len(self._striker.processes(row))
            if processes > _PROCESSES:
                yield f"{row} has {processes} processes"

    # The end

    def report(self) -> Report:
        """What the run has brought."""
        found = self.findings
        verdict = self._house.ledger.judge(
            [*self._house.crashes, *self.explained], self._house.attempts
        )
        struck = [trial for trial in found.trials if trial.struck]
        missed = [trial.cell for trial in found.trials if not trial.struck]
        failures = [*found.failures, *self._judge_coverage(struck)]
        figures = {
            "cells tried": f"{len(found.trials)}",
            "cells struck": f"{len(struck)}",
            "calls that failed": f"{sum(len(trial.strikes) for trial in found.trials)}",
            "processes that ended by it": f"{found.deaths.total()}",
            "of those, the master": f"{found.restarts}",
            "messages acknowledged": f"{verdict.acknowledged}",
            "recipients": f"{verdict.recipients}",
            "reports": f"{verdict.reports}",
            "lost": f"{verdict.lost}",
            "copies beyond the first": f"{verdict.extra}",
            "temporary refusals": f"{found.refusals}",
            "connections that broke": f"{found.broken}",
            "loud lines of the log": f"{len(self._ears.loud)}",
        }
        tables = [_strikes_by_row(found.trials), _deaths_by_row(found.deaths), _missed(missed)]
        return Report(figures, [table for table in tables if table.rows], failures)

    def _judge_coverage(self, struck: Sequence[Trial]) -> Iterator[str]:
        """Half of all cells are struck; in a whole run each row and each call."""
        tried = self.findings.trials
        if 2 * len(struck) < len(tried):
            yield f"only {len(struck)} of {len(tried)} cells were struck"
        if not self._whole:
            return
        rows = {trial.cell.row for trial in struck}
        yield from (f"{row}: nothing was struck" for row in ROWS if row not in rows)
        calls = {trial.cell.spot[0] for trial in struck}
        names = {trial.cell.spot[0] for trial in tried}
        yield from (f"{call}: never struck" for call in sorted(names - calls))


def _concerns(trial: Trial, death: Death) -> bool:
    """Whether the process was attacked, or its master while it was about to start it."""
    if trial.cell.row == MASTER:
        return trial.began <= death.time <= trial.ended + _BIRTH
    return death.pid in trial.pids


def _strikes_by_row(trials: Iterable[Trial]) -> Table:
    counts: Counter[tuple[str, str]] = Counter()
    for trial in trials:
        counts[trial.cell.row, trial.cell.error] += len(trial.strikes)
    errors = sorted({error for _, error in counts})
    rows = tuple(
        (row, *(str(counts[row, error] or "") for error in errors))
        for row in ROWS
        if any(counts[row, error] for error in errors)
    )
    return Table("Calls that failed", ("", *errors), rows)


def _deaths_by_row(deaths: Counter[str]) -> Table:
    by_row: dict[str, list[str]] = defaultdict(list)
    for name in sorted(deaths.elements()):
        row, _, text = name.partition(": ")
        by_row[row].append(text)
    rows = tuple((row, str(len(texts)), _listed(texts)) for row, texts in by_row.items())
    return Table("Processes that ended", ("", "how many", "by"), rows)


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(sorted(set(texts)))


def _missed(cells: Iterable[Cell]) -> Table:
    by_spot: dict[tuple[str, Spot], list[str]] = defaultdict(list)
    for cell in cells:
        by_spot[cell.row, cell.spot].append(cell.error)
    rows = tuple(
        (row, " ".join(spot), _listed(errors)) for (row, spot), errors in sorted(by_spot.items())
    )
    return Table("Cells that were not struck", ("row", "call", "errors"), rows[:_SHOWN])


def prove(run: Run) -> Report:
    """Try `run.size` cells, or all that there are."""
    services = {
        row: {"numprocs": 1, "min_free": 1, "max_idle": "600s"}
        for row in ROWS
        if row not in ("qmgr", "log", MASTER)
    }
    report = Report()
    try:
        with House(run.folder, services=services) as house:
            proof = _Proof(run, house)
            proof.try_all()
            report = proof.report()
    except AssertionError as error:
        if not report.figures:
            raise
        report.failures.append(f"it does not stop: {error}")
    return report
