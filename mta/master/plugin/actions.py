"""What a pool may ask the master to do: the whole vocabulary between deciding and acting."""

import signal
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Action", "Fields", "Kill", "Level", "Say", "Start", "Tell"]

Level = Literal["info", "warning", "error"]
Fields = dict[str, str | int | float | bool]


@dataclass(frozen=True)
class Start:
    """Start one process, in any slot that is not running."""


@dataclass(frozen=True)
class Tell:
    """Send a command over the channel of one process."""

    process: str
    command: Literal["retire", "expire", "wake"]


@dataclass(frozen=True)
class Kill:
    """End one process, which does not do what it must."""

    process: str
    number: signal.Signals = signal.SIGKILL


@dataclass(frozen=True)
class Say:
    """Write a loud line: to supervisord's log, and as a record of the mail log."""

    level: Level
    event: str
    text: str
    fields: Fields = field(default_factory=dict)


Action = Start | Tell | Kill | Say
