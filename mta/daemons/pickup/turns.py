"""Turns: which files are taken in one round, and in what order.

The law: nobody's mail waits for another user's backlog, and nobody's is forgotten. A user's turn
holds files up to a number and a size, though at least one; what is beyond it is counted, and found
again by the next look.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

__all__ = ["TurnLimits", "Turns"]

_TOTAL_LIMIT: Final = 10_000  # names in memory


class TurnLimits(Struct, frozen=True):
    """What one user may have taken in a turn."""

    files: int
    octets: int


class Turns:
    """The names of one look, by the files' owners."""

    def __init__(self, limits: TurnLimits) -> None:
        self.left_out = 0  # files beyond a turn
        self._limits = limits
        self._names: dict[int, list[str]] = {}
        self._octets: dict[int, int] = {}
        self._count = 0

    def add(self, owner: int, name: str, size: int) -> None:
        """Take a file into its owner's turn, or leave it out."""
        octets = self._octets.get(owner, 0)
        names = self._names.get(owner, ())
        full = len(names) >= self._limits.files or octets + size > self._limits.octets
        if self._count >= _TOTAL_LIMIT or (names and full):
            self.left_out += 1
            return
        self._names.setdefault(owner, []).append(name)
        self._octets[owner] = octets + size
        self._count += 1

    def names(self) -> Iterator[str]:
        """All names: one of each user, then the next of each; of one user the oldest first."""
        waiting = deque(iter(sorted(names)) for names in self._names.values())
        while waiting:
            names = waiting.popleft()
            name = next(names, None)
            if name is not None:
                yield name
                waiting.append(names)
