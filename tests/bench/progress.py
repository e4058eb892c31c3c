"""Tells on stderr which turn it is and how long it will still take.

The forecast is what the rest of the plan was said to take, corrected by how the part that is done
kept to it.
"""

import sys
import time
from collections.abc import Callable

__all__ = ["Progress", "forecast"]


def forecast(planned: float, done: float, elapsed: float) -> float:
    """Seconds still to go, of `planned` when `done` of them have taken `elapsed`."""
    pace = elapsed / done if done else 1.0
    return max(0.0, planned - done) * pace


class Progress:
    """The turns of a plan that is to take `planned` seconds."""

    def __init__(
        self,
        planned: float,
        say: Callable[[str], object] = lambda line: print(line, file=sys.stderr, flush=True),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._planned = planned
        self._say = say
        self._clock = clock
        self._began = clock()
        self._done = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    def turn(self, name: str, number: int, count: int, server: str) -> None:
        """A turn begins."""
        left = forecast(self._planned, self._done, self.elapsed)
        self._say(f"{name} {number}/{count} {server}; about {left / 60:.0f} min to go")

    def turned(self, seconds: float) -> None:
        """A turn is over that was to take so long."""
        self._done += seconds

    def note(self, text: str) -> None:
        """Something that a reader of the terminal should know."""
        self._say(text)
