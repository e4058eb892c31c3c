"""What the figures were taken on: figures of two machines are not to be compared."""

import os
import platform
from pathlib import Path

from support.file_systems import file_system_of

from bench.figures import Machine

__all__ = ["describe_machine"]


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
