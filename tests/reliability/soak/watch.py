"""Bounds that hold at every moment, looked at every few seconds; and those that hold at rest.

At every moment: no process that the table does not know, and of a row at most twice its numprocs
(as many may retire as may accept). At rest: no more than numprocs, no zombie; nothing open outside
of the house; sockets and locks as at the first rest; of files only what a kill of their writer
left.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from support.background import Background
from support.instance import Instance
from support.waiting import wait_until

from mta.util.house import RELOAD_PROGRAM
from reliability.soak.logbook import Struck
from reliability.soak.rest import MASTER, Files, Holding, look_at_files, look_at_processes, zombies

__all__ = ["Rest", "Watch", "take_rest"]

_INTERVAL: Final = 2.0  # seconds
_STEP: Final = 0.5
_LONGEST: Final = 40.0  # seconds until the house must have come to rest
_TOLD: Final = 5  # problems of one kind
_GENERATIONS: Final = 11  # ten, and the one in force
_MASTER_LOGS: Final = 64 * 2**20  # octets: what supervisord.conf lets them have, about
# From the last write to a file to the kill of who writes it; a busy disk is slow.
_IN_HAND: Final = 30.0


@dataclass(frozen=True)
class Rest:
    """The house, when nothing was to do."""

    part: str  # of the run
    holdings: tuple[Holding, ...]
    files: Files

    @property
    def only_residents(self) -> bool:
        """Whether all others have gone, being idle."""
        return {holding.row for holding in self.holdings} == {MASTER, "log", "qmgr"}


class Watch(Background):
    """Looks at the processes until the end of the context."""

    def __init__(self, instance: Instance) -> None:
        self.samples = 0
        self.most_processes = 0
        self.most_pss = 0  # KiB, of all together
        self.problems: Counter[str] = Counter()
        self._instance = instance
        self._numprocs = _numprocs(instance.status())
        super().__init__(self._work)

    def inspect(self, rest: Rest, first: Rest, kills: Sequence[Struck]) -> None:
        """Hold a rest against the first one, and against what was killed."""
        self._count(rest.holdings, at_most=1, when="at rest ")
        files = rest.files
        found = {
            f"{files.corrupt} files in corrupt/": files.corrupt > 0,
            f"{files.generations} generations in config/": files.generations > _GENERATIONS,
            f"{files.master_logs} octets of logs in master/": files.master_logs > _MASTER_LOGS,
            f"sockets: {sorted(files.sockets ^ first.files.sockets)}": (
                files.sockets != first.files.sockets
            ),
            f"pid/: {sorted(files.pid ^ first.files.pid)}": files.pid != first.files.pid,
        }
        self.problems.update(what for what, is_so in found.items() if is_so)
        for writer, leftovers in (("cleanup", files.unfinished), ("virtual", files.temporary)):
            for path, written in leftovers:
                if not _left_by_kill(written, kills, writer):
                    self.problems[f"left behind, and no kill of {writer} explains it: {path}"] += 1
        for holding in rest.holdings:
            for link in holding.strange:
                self.problems[f"{holding.row} has {link} open"] += 1

    def told(self) -> list[str]:
        """The problems, each with how often it was seen."""
        told = [f"{what} ({count} times)" for what, count in self.problems.most_common()]
        return told[:_TOLD] + ([f"{len(told) - _TOLD} problems more"] if told[_TOLD:] else [])

    def _work(self) -> None:
        while not self.ending.wait(_INTERVAL):
            holdings = look_at_processes(self._instance)
            self.samples += 1
            self.most_processes = max(self.most_processes, len(holdings))
            self.most_pss = max(self.most_pss, sum(holding.pss for holding in holdings))
            self._count(holdings, at_most=2, when="")

    def _count(self, holdings: Sequence[Holding], *, at_most: int, when: str) -> None:
        for row, count in Counter(holding.row for holding in holdings).items():
            limit = self._numprocs.get(row, 0) * at_most
            if count > limit:
                self.problems[f"{when}{count} processes of {row}, at most {limit} expected"] += 1


def take_rest(instance: Instance, part: str, quiet: float) -> Rest:
    """The house once its processes and descriptors stay the same for `quiet` seconds.

    Who ended must have been reaped. AssertionError if the house does not come to rest.
    """
    seen: list[frozenset[tuple[int, int]]] = []
    master = instance.supervisord.pid

    def at_rest() -> tuple[Holding, ...]:
        holdings = look_at_processes(instance)
        seen.append(frozenset((each.pid, each.descriptors) for each in holdings))
        alike = seen[-1 - round(quiet / _STEP) :]
        steady = len(alike) > quiet / _STEP and len(set(alike)) == 1
        return tuple(holdings) if steady and not zombies(master) else ()

    holdings = wait_until(at_rest, "a house at rest", _LONGEST, interval=_STEP)
    return Rest(part, holdings, look_at_files(instance))


def _numprocs(status: Mapping[str, Any]) -> dict[str, int]:
    rows = {row["name"]: int(row["numprocs"]) for row in status["services"]}
    return {MASTER: 1, RELOAD_PROGRAM: 1, **rows}


def _left_by_kill(written: float, kills: Sequence[Struck], writer: str) -> bool:
    return any(
        kill.row in (writer, MASTER) and written <= kill.time + 1 and kill.time - written < _IN_HAND
        for kill in kills
    )
