"""What the house holds: processes with their memory and descriptors, as /proc has them, and files.

Memory is what a process has for itself (anonymous pages, those that are swapped too): its part of
what is shared with its neighbours depends on how many they are. The proportional part (PSS) is
told for the house as a whole. Of descriptors supervisord has a fixed number for each child, and a
crash log for each row that ever ran; what it has besides is its own.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.instance import DOMAIN, Instance
from support.processes import Process

__all__ = ["MASTER", "Files", "Holding", "look_at_files", "look_at_processes", "zombies"]

MASTER: Final = "supervisord"

_CHILD: Final = 4  # descriptors that supervisord has for each: the channel, and three pipes
_SOCKETS: Final = ("private", "public")
_GONE: Final = (FileNotFoundError, ProcessLookupError, PermissionError)


@dataclass(frozen=True)
class Holding:
    """One process."""

    pid: int
    row: str  # or MASTER
    memory: int  # KiB, for itself
    pss: int  # KiB
    descriptors: int  # of supervisord: its own
    strange: tuple[str, ...]  # open files outside of the house


@dataclass(frozen=True)
class Files:
    """What lies about."""

    unfinished: tuple[tuple[str, float], ...]  # queue files without their end, with their times
    temporary: tuple[tuple[str, float], ...]  # files in tmp/ of Maildirs, with their times
    corrupt: int
    sockets: frozenset[str]
    pid: frozenset[str]
    generations: int
    master_logs: int  # octets


def look_at_processes(instance: Instance) -> list[Holding]:
    """Every process of the house, but those that end or begin meanwhile."""
    processes = instance.processes()
    children = Counter(process.parent for process in processes)
    masters = {process.pid for process in processes if not process.service}
    house = instance.directory.resolve()
    found = []
    for process in processes:
        if not process.service and process.parent in masters:
            continue  # a child before its exec
        with suppress(*_GONE):
            found.append(_holding(process, children[process.pid], house))
    return found


def zombies(parent: int) -> list[int]:
    """Children that ended and that their parent has not reaped."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(*_GONE):
            if entry.name.isdigit():
                state, its_parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state == "Z" and int(its_parent) == parent:
                    found.append(int(entry.name))
    return found


def look_at_files(instance: Instance) -> Files:
    """The folders of the house, at rest."""
    queue = instance.queue
    waiting = instance.queue_files("incoming", "deferred", "hold")
    return Files(
        unfinished=tuple(_written(waiting, unless=0o700)),
        temporary=tuple(_written((instance.mail / DOMAIN).glob("*/tmp/*"))),
        corrupt=len(instance.queue_files("corrupt")),
        sockets=frozenset(f"{it}/{name}" for it in _SOCKETS for name in os.listdir(queue / it)),
        pid=frozenset(os.listdir(queue / "pid")),
        generations=len(list((queue / "config").glob("*.json"))),
        master_logs=sum(path.stat().st_size for path in _master_logs(instance)),
    )


def _master_logs(instance: Instance) -> Iterator[Path]:
    return (instance.log_file.parent / "master").iterdir()


def _written(paths: Iterable[Path], unless: int = -1) -> Iterator[tuple[str, float]]:
    """The files of another mode than `unless`, each with the time when it was last written to."""
    for path in paths:
        with suppress(FileNotFoundError):  # a scan removes what nobody will finish
            found = path.stat()
            if stat.S_IMODE(found.st_mode) != unless:
                yield str(path), found.st_mtime


def _holding(process: Process, children: int, house: Path) -> Holding:
    entry = Path("/proc", str(process.pid))
    memory = {
        line.partition(":")[0]: int(line.split()[1])
        for line in (entry / "smaps_rollup").read_text().splitlines()[1:]
    }
    links = list(_links(entry / "fd"))
    own = len(links)
    if not process.service:
        own -= _CHILD * children + sum("/master/crash-" in link for link in links)
    return Holding(
        process.pid,
        process.service or MASTER,
        memory["Anonymous"] + memory["Swap"],
        memory["Pss"],
        own,
        tuple(link for link in links if _is_strange(link, house)),
    )


def _links(folder: Path) -> Iterator[str]:
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):
            yield os.readlink(folder / name)


def _is_strange(link: str, house: Path) -> bool:
    """Whether it is a file that does not belong to the house; a memory file has no path."""
    named = link.startswith("/") and link != "/dev/null"
    return (named and not link.startswith(f"{house}/")) or link.startswith("/memfd:")
