"""A deadline that moves far more often than it passes.

The law: to move it later costs an assignment. The loop's timer stays where it is, looks at the
deadline when it fires, and is set anew if that is still to come; only a deadline sooner than the
timer sets it at once. So a connection has one timer, not one for each wait.
"""

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["Deadline"]

_RESOLUTION: Final = 0.001  # seconds: of uvloop's clock and timers


class Deadline:
    """Calls `passed(due)` from the loop, once, when `due`, the moment set last, has come."""

    __slots__ = ("_due", "_fires", "_loop", "_passed", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[float], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._fires = 0.0  # when the timer does

    def set(self, due: float) -> None:
        """Have it at `due`, in the loop's time, and at no other moment."""
        self._due = due
        if self._timer is None or due < self._fires:
            self._start(due)

    def close(self) -> None:
        """Have none any more, and leave nothing behind in the loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, fires: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires = fires
        self._timer = self._loop.call_at(fires, self._look)

    def _look(self) -> None:
        self._timer = None
        due = self._due
        if due - self._loop.time() < _RESOLUTION:
            self._passed(due)
        else:
            self._start(due)
