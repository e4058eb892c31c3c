"""How old a message is, whatever becomes of the clock.

The law: a message ages while the machine is awake, and by a clock that nobody sets. When it arrived
on that clock is found once, when this queue manager first sees it; from then on no jump of the wall
clock and no sleep makes it older or younger. Jumps between its arrival and that moment are known,
for the wall clock is looked at often. What came before this queue manager began is told by the wall
clock; of a message from the future, it is the first attempt that counts.

Pure: both clocks are arguments, in seconds; `awake` is the one that nobody sets.
"""

from collections import deque
from math import inf
from typing import Final, NamedTuple

__all__ = ["WallClock", "settled"]

_DRIFT: Final = 10.0  # seconds between two looks; more is a jump
_SLACK: Final = 1.0  # seconds, for queue ids bear whole microseconds, and clocks drift
_REMEMBERED: Final = 32  # jumps


class _Span(NamedTuple):
    """How far the wall clock was ahead of the other, from one jump to the next."""

    begin: float  # the last look before the jump that began it
    end: float  # the first look after the jump that ended it
    ahead: float  # at its end
    drift: float  # at most, since its begin


class WallClock:
    """The history of the wall clock."""

    def __init__(self, wall: float, awake: float) -> None:
        self._past: deque[_Span] = deque(maxlen=_REMEMBERED)
        self._begin = -inf  # whatever came before is believed
        self._looked = awake
        self._ahead = wall - awake
        self._drift = 0.0

    def look(self, wall: float, awake: float) -> float:
        """Compare the clocks: by how much the wall clock jumped since the last look, or 0."""
        jump = wall - awake - self._ahead
        if abs(jump) >= _DRIFT:
            self._past.append(_Span(self._begin, awake, self._ahead, self._drift))
            self._begin, self._drift = self._looked, 0.0
        else:
            self._drift += abs(jump)
        self._looked = awake
        self._ahead += jump
        return jump if abs(jump) >= _DRIFT else 0.0

    def born(self, arrived: float) -> float:
        """When a message arrived; later than the last look when it is from the future.

        After a jump back a time may mean two moments: then the later one is taken, for too old a
        message is returned.
        """
        present = _Span(self._begin, self._looked, self._ahead, self._drift)
        spans = (present, *reversed(self._past))
        for span in spans:
            birth = arrived - span.ahead
            off = span.drift + _SLACK
            begins = span.begin - off <= birth or span is spans[-1]
            if begins and birth <= span.end + off:
                return birth
        return arrived - self._ahead


def settled(birth: float, awake: float, arrived: float, tried: float | None) -> float:
    """When a message begins to age: never later than now.

    `birth` is what `WallClock.born` said. `tried` is the first attempt, or None, by the wall clock
    of former queue managers: of one that was not from the future it tells nothing new.
    """
    if birth <= awake:
        return birth
    return awake if tried is None else min(awake, birth + tried - arrived)
