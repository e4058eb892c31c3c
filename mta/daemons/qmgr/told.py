"""What the log was told of: each name once, as long as it stays, however often a scan meets it.

The law: memory is bounded, and so is what a scan can write to the log. What goes beyond that is
counted.
"""

from typing import Final

__all__ = ["Told"]

_LIMIT: Final = 100  # names


class Told:
    """Names that the log knows of; one that a whole scan did not meet is forgotten."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._met: set[str] = set()  # since the last scan began
        self._left_out = 0

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in self._met

    def begin_scan(self) -> None:
        """Forget the names that were not met since the last scan began."""
        self._known, self._met = self._met, set()

    def meet(self, name: str) -> bool:
        """Whether the log is to be told of this name, for it is new; too many are counted only."""
        if name in self._met:
            return False
        if len(self._met) >= _LIMIT:
            self._left_out += 1
            return False
        self._met.add(name)
        return name not in self._known

    def left_out(self) -> int:
        """How often a name was too many since this was last asked."""
        count, self._left_out = self._left_out, 0
        return count
