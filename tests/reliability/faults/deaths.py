"""Deaths of processes, as Supervisor's log tells them."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

__all__ = ["Death", "Deaths"]

_LINE: Final = re.compile(
    r"^(?P<time>\S+ \S+) \w+ (?:spawned: '(?P<spawned>\S+)' with pid (?P<pid>\d+)"
    r"|exited: (?P<exited>\S+) \((?:exit status (?!0\b)\d+|terminated by (?P<signal>\S+))[;)].*)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Death:
    """A process that did not end in order."""

    time: float  # seconds since the epoch
    row: str
    pid: int
    signal: str  # its name, or empty
    text: str  # Supervisor's line


class Deaths:
    """Supervisor's log, read as it grows."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._position = 0
        self._pids: dict[str, int] = {}

    def new(self) -> list[Death]:
        """The deaths since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._position += len(data)
        deaths = []
        for found in _LINE.finditer(data.decode(errors="replace")):
            if name := found["spawned"]:
                self._pids[name] = int(found["pid"])
                continue
            name = found["exited"]
            row, pid = name.rpartition("_")[0], self._pids.get(name, 0)
            moment = _seconds(found["time"])
            deaths.append(Death(moment, row, pid, found["signal"] or "", found[0]))
        return deaths


def _seconds(text: str) -> float:
    """Supervisor's time of day, which is local."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()
