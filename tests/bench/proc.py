"""What /proc says of a server's processes: CPU time and memory.

The law: a server's CPU is that of its whole process tree, with that of children who ended and were
waited for. So nothing is lost when daemons come and go during a run.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from support.background import Background

__all__ = ["Looks", "ProcessTimes", "cpu_seconds", "memory", "parse_stat", "process_tree"]

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PSS: Final = re.compile(r"^Pss: +(\d+) kB$", re.MULTILINE)
_INTERVAL: Final = 0.1  # seconds between two looks


@dataclass(frozen=True)
class ProcessTimes:
    """One process as its stat file shows it; times are seconds of CPU."""

    pid: int
    parent: int
    command: str
    own: float
    waited_for: float  # by children that have ended


def parse_stat(text: str) -> ProcessTimes:
    """Read the content of /proc/PID/stat (proc(5))."""
    # The name may hold spaces and parentheses: the fields begin after the last one.
    head, _, rest = text.rpartition(")")
    pid, _, command = head.partition(" (")
    fields = rest.split()
    user, system, child_user, child_system = (int(field) / _TICKS for field in fields[11:15])
    return ProcessTimes(int(pid), int(fields[1]), command, user + system, child_user + child_system)


def process_tree(root: int) -> dict[int, ProcessTimes]:
    """The process `root` and all that descend from it, by pid; empty when it is gone."""
    children: dict[int, list[ProcessTimes]] = {}
    found = {process.pid: process for process in _all_processes()}
    for process in found.values():
        children.setdefault(process.parent, []).append(process)
    tree: dict[int, ProcessTimes] = {}
    waiting = [found[root]] if root in found else []
    while waiting:
        process = waiting.pop()
        tree[process.pid] = process
        waiting += children.get(process.pid, [])
    return tree


def cpu_seconds(root: int) -> float:
    """What the tree has used so far."""
    return sum(process.own + process.waited_for for process in process_tree(root).values())


def memory(pids: Iterable[int]) -> int:
    """Octets that the processes use, shared pages divided among their users (PSS)."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if match := _PSS.search(text):
            total += int(match[1]) * 1024
    return total


def _all_processes() -> Iterable[ProcessTimes]:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            yield parse_stat(Path(f"/proc/{name}/stat").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue


class Looks(Background):
    """A thread that looks at a tree again and again, for as long as the `with` block lasts."""

    def __init__(self, look: Callable[[], None], interval: float = _INTERVAL) -> None:
        super().__init__(self._repeat)
        self._look = look
        self._interval = interval

    def _repeat(self) -> None:
        while not self.ending.wait(self._interval):
            self._look()

    def __enter__(self) -> Self:
        self._look()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._look()
