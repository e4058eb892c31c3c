"""What a message costs a daemon in system calls and IPC frames: counts, whatever the time.

with CallCounter(pid, folder / "smtpd") as counter:
    ...  # send messages
counter.cost(messages).calls
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.tracing import Trace

__all__ = ["CallCounter", "Cost"]

_NAME: Final = re.compile(r"(\w+)\(")
# Frames leave by these two, and what a daemon tells the master, which is little: once a second at
# most. What goes to clients and files is written.
_FRAME: Final = re.compile(r"send(?:to|msg)\(\d+<socket:")
_FAILED: Final = re.compile(r" = -1 E[A-Z]+ ")


@dataclass(frozen=True)
class Cost:
    """What one message cost a daemon; `by_name` holds its system calls, the most frequent first."""

    calls: float
    frames: float  # sent to other daemons
    by_name: dict[str, float]

    @property
    def steady_calls(self) -> float:
        """The calls without those that threads wait for each other with: their number is luck."""
        return self.calls - self.by_name.get("futex", 0.0)

    def __str__(self) -> str:
        names = ", ".join(f"{name} {count:.2f}" for name, count in self.by_name.items())
        return f"{self.calls:.2f} calls ({names}), {self.frames:.2f} frames sent"


class CallCounter(Trace):
    """strace, which counts all calls of one running process and its threads."""

    def __init__(self, pid: int, output: Path) -> None:
        super().__init__(pid, output, "all")

    def cost(self, messages: int) -> Cost:
        """The counts so far, divided by the number of messages."""
        calls: Counter[str] = Counter()
        frames = 0
        for call in self.calls():
            if name := _NAME.match(call.text):
                calls[name[1]] += 1
            frames += bool(_FRAME.match(call.text) and not _FAILED.search(call.text))
        by_name = {name: count / messages for name, count in calls.most_common()}
        return Cost(calls.total() / messages, frames / messages, by_name)
