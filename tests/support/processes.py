"""Processes as the system sees them: what /proc says, never what a status report claims."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "kill", "processes_in", "running"]


@dataclass(frozen=True)
class Process:
    """One living process; `service` is the row that it runs for, or empty (supervisord)."""

    pid: int
    parent: int
    command: tuple[str, ...]
    service: str

    @property
    def daemon(self) -> str:
        """The name after `mta.daemons.`, or empty."""
        for word in self.command:
            if word.startswith("mta.daemons."):
                return word.removeprefix("mta.daemons.")
        return ""


def processes_in(directory: Path) -> list[Process]:
    """All processes whose working directory is `directory`, in order of their ids."""
    where = str(directory.resolve())
    pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    return [process for pid in pids if (process := _look(pid, where)) is not None]


def running(word: str) -> list[int]:
    """The processes that have the text in their command lines, ourselves left out."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError):
                if word.encode() in Path("/proc", name, "cmdline").read_bytes():
                    found.append(int(name))
    return found


def _look(pid: int, where: str) -> Process | None:
    """The process, unless it is elsewhere, gone, a zombie, or another user's."""
    entry = Path("/proc", str(pid))
    try:
        # A directory that was removed under a process is shown as "PATH (deleted)".
        if os.readlink(entry / "cwd").removesuffix(" (deleted)") != where:
            return None
        command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
        # The name may hold spaces and parentheses: the fields begin after the last one.
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if fields[0] == "Z":
        return None
    service = ""
    for setting in environment:
        if setting.startswith("SUPERVISOR_GROUP_NAME="):
            service = setting.partition("=")[2]
    return Process(pid, int(fields[1]), tuple(command[:-1]), service)


def kill(process: Process, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process of ours; one that ended meanwhile is fine."""
    assert process.pid > 1
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return
