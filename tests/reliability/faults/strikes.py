"""Striking a running daemon: find it, watch it, make a call of it fail, and see what was struck.

The law: what counts is what strace says it struck, not what was intended. strace counts the calls
of each thread by itself, so that one order may strike several threads.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from support.instance import Instance
from support.processes import Process
from support.tracing import Call, Fault, Trace, read_calls

from reliability.faults.system_calls import Spot, spot_of

__all__ = [
    "MASTER",
    "TURNED",
    "Cell",
    "Strike",
    "Striker",
    "Trial",
    "ordinals",
    "spots",
    "until_started",
]

MASTER: Final = "supervisord"  # stands for a row's name

_PATIENCE: Final = 2.5  # seconds that a call is waited for: longer than `queue_run_delay`
_STAY: Final = 1.0  # seconds that a persistent fault lasts
_MORE: Final = 0.2  # seconds, after another kind of descriptor was struck than was intended
_ATTEMPTS: Final = 12  # until the call on the intended kind of descriptor is struck
_TRIAL_TIME: Final = 5.0  # seconds after which no further attempt is made
TURNED: Final = "rewrite"  # the row that the master has to start a process of
_INTERVAL: Final = 0.005  # seconds between two looks
_STARTED: Final = r"\"event\":\"started\""  # as strace shows it
_START_TIME: Final = 10.0  # seconds in which a row has a process again


@dataclass(frozen=True)
class Cell:
    """One place of the matrix: which call of which row gets which error."""

    row: str
    spot: Spot
    error: str
    stays: bool = False  # for a while, not once
    fresh: bool = False  # the call is made by a process that starts, or soon afterwards

    def __str__(self) -> str:
        call, kind = self.spot
        place = f" of {kind}" if kind else ""
        return f"{self.row}: {call}{place} {self.error}{' for a while' if self.stays else ''}"


@dataclass(frozen=True)
class Strike:
    """One call that was made to fail."""

    time: float  # seconds since the epoch
    spot: Spot
    text: str


@dataclass
class Trial:
    """What came of one cell."""

    cell: Cell
    began: float  # seconds since the epoch
    ended: float = 0.0
    pids: list[int] = field(default_factory=list)  # who was attacked
    strikes: list[Strike] = field(default_factory=list)

    @property
    def struck(self) -> bool:
        """Whether the intended call was struck, on the intended kind of descriptor."""
        return any(strike.spot == self.cell.spot for strike in self.strikes)


class Striker:
    """Watches and strikes the processes of one system; traces lie in `folder`."""

    def __init__(self, instance: Instance, folder: Path, serving: Container[int]) -> None:
        """`serving` holds the pids of daemons that have begun to serve."""
        self._instance = instance
        self._serving = serving
        self._folder = folder
        self._number = 0
        self.ended: set[int] = set()  # pids that were told to end in order
        folder.mkdir()

    def processes(self, row: str) -> list[Process]:
        """The row's processes, the youngest last."""
        service = "" if row == MASTER else row
        found = [one for one in self._instance.processes() if one.service == service]
        return sorted(found, key=lambda one: _started(one.pid))

    def youngest(self, row: str, *, but: Iterable[int] = ()) -> int:
        """The pid of the row's youngest process, waiting until there is one; 0 in vain."""
        deadline = time.monotonic() + _START_TIME
        while time.monotonic() < deadline:
            if found := [one.pid for one in self.processes(row) if one.pid not in but]:
                return found[-1]
            time.sleep(_INTERVAL)
        return 0

    def turn_over(self, row: str) -> int:
        """A process of the row that begins: those that serve are made to end in order."""
        old = [one.pid for one in self.processes(row) if one.pid in self._serving]
        self.ended.update(old)
        for pid in old:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return self.youngest(row, but=old)

    def watch(self, row: str, pid: int) -> Trace:
        """A trace of all calls of one process."""
        return Trace(pid, self._output(), "all", follow=row != MASTER)

    def strike(self, cell: Cell, nths: Iterator[int]) -> Trial:
        """Try one cell, at the n-th call that each thread makes; the n's are tried in turn."""
        trial = Trial(cell, time.time())
        fresh = cell.fresh and cell.row != MASTER
        for nth in islice(nths, _ATTEMPTS):
            before = len(trial.strikes)
            pid = self.turn_over(cell.row) if fresh else self.youngest(cell.row)
            self._attack(trial, pid, nth)
            trial.ended = time.time()
            if trial.struck or trial.ended - trial.began > _TRIAL_TIME:
                break
            # Who works does not make the call any more: who starts may.
            fresh = fresh or (len(trial.strikes) == before and cell.row != MASTER)
        return trial

    def _attack(self, trial: Trial, pid: int, nth: int) -> None:
        cell = trial.cell
        trial.pids.append(pid)
        fault = Fault(cell.spot[0], f"error={cell.error}", f"{nth}+" if cell.stays else f"{nth}")
        output = self._output()
        # It may end before it is watched, or by the fault before that is seen.
        with (
            suppress(AssertionError, OSError),
            Trace(pid, output, cell.spot[0], fault, follow=cell.row != MASTER),
        ):
            if cell.row == MASTER and cell.fresh:
                self.turn_over(TURNED)
            self._await_strike(cell, pid, output)
        if output.exists():
            trial.strikes += _strikes(output)
            output.unlink()

    def _await_strike(self, cell: Cell, pid: int, output: Path) -> None:
        """Wait for the intended strike; after another one only a little, for further threads."""
        deadline = time.time() + _PATIENCE
        while time.time() < deadline and _lives(pid):
            strikes = _strikes(output)
            if any(strike.spot == cell.spot for strike in strikes):
                break
            if strikes and not cell.stays:
                deadline = min(deadline, strikes[0].time + _MORE)
            time.sleep(_INTERVAL)
        if cell.stays and _strikes(output):
            time.sleep(_STAY)  # so long does the fault last

    def _output(self) -> Path:
        self._number += 1
        return self._folder / f"{self._number}"


def spots(calls: Iterable[Call]) -> Counter[Spot]:
    """How often each call was made, by the kind of what it was made on."""
    found: Counter[Spot] = Counter()
    for call in calls:
        with suppress(ValueError):  # a signal
            found[spot_of(call.text)] += 1
    return found


def ordinals(calls: Iterable[Call]) -> dict[Spot, list[int]]:
    """Of each spot: the how manieth calls of that name were made on that kind."""
    counts: Counter[str] = Counter()
    found: dict[Spot, list[int]] = {}
    for call in calls:
        with suppress(ValueError):
            spot = spot_of(call.text)
            counts[spot[0]] += 1
            found.setdefault(spot, []).append(counts[spot[0]])
    return found


def until_started(calls: Sequence[Call]) -> int:
    """How many calls a daemon made until it told the log that it serves; 0 if it did not."""
    return next((place for place, call in enumerate(calls) if _STARTED in call.text), 0)


def _strikes(output: Path) -> list[Strike]:
    if b"(INJECTED)" not in output.read_bytes():
        return []
    return [
        Strike(call.began, spot_of(call.text), call.text)
        for call in read_calls(output)
        if "(INJECTED)" in call.text
    ]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _started(pid: int) -> int:
    """When a process began, in clock ticks since the boot; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0
