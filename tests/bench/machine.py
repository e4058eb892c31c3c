"""What the figures were taken on: figures of two machines are not to be compared."""

import os
import platform
from pathlib import Path
from typing import Final

from bench.figures import Machine

__all__ = ["IN_MEMORY", "describe_machine", "file_system_of"]

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})  # where fsync costs nothing


def describe_machine(directory: Path, posthouse: str, postfix: str) -> Machine:
    """This machine, with queues below `directory`."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    release = platform.freedesktop_os_release()
    return Machine(
        processor=_processor(Path("/proc/cpuinfo").read_text()),
        cores=os.cpu_count() or 1,
        memory=pages * size,
        kernel=platform.release(),
        system=release.get("PRETTY_NAME", platform.system()),
        file_system=file_system_of(directory, Path("/proc/self/mounts").read_text()),
        load=os.getloadavg()[0],
        python=platform.python_version(),
        posthouse=posthouse,
        postfix=postfix,
    )


def _processor(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that a path lies on, by /proc/self/mounts (fstab(5))."""
    best, found = -1, "unknown"
    for line in mounts.splitlines():
        _, mounted, kind, *_ = line.split()
        place = Path(mounted.encode().decode("unicode_escape"))
        if path.resolve().is_relative_to(place) and len(place.parts) >= best:
            best, found = len(place.parts), kind
    return found
