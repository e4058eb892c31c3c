"""How old a message is, whatever becomes of the clock.

The law: a message ages while the machine is awake, and by a clock that nobody sets. It is bound to
that clock when this queue manager first sees it, and from then on no jump of the wall clock and no
sleep makes it older or younger. What it had aged before, its file tells: from its arrival; or, of a
message from the future, from the first attempt. Pure: both clocks are arguments, in seconds.
"""

from typing import Final

__all__ = ["Jumps", "born", "settled"]

_DRIFT: Final = 10.0  # seconds between two looks; more is a jump


def born(arrived: float, wall: float, awake: float) -> float:
    """When a message arrived, on the clock `awake`; later than that when it is from the future.

    It did so by the wall clock, which is believed once: when the message is first seen.
    """
    return arrived - wall + awake


def settled(birth: float, awake: float, arrived: float, tried: float | None) -> float:
    """When a message begins to age, on the clock `awake`: never later than now.

    `birth` is what `born` said. `tried` is the first attempt, or None, by the wall clock of former
    queue managers: of one that lives it tells nothing new.
    """
    if birth <= awake:
        return birth
    return awake if tried is None else min(awake, birth + tried - arrived)


class Jumps:
    """Compares the wall clock with one that nobody sets, and so finds when it was set."""

    def __init__(self, wall: float, awake: float) -> None:
        self._ahead = wall - awake

    def look(self, wall: float, awake: float) -> float:
        """By how much the wall clock jumped since the last look; 0 for a drift."""
        former, self._ahead = self._ahead, wall - awake
        jump = self._ahead - former
        return jump if abs(jump) >= _DRIFT else 0.0
