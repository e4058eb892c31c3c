"""Names that are passed over for a while: of files that failed, or that cannot be moved away."""

from collections.abc import Callable
from typing import Final

__all__ = ["Later"]

_LIMIT: Final = 10_000  # names; more are tried in each round


class Later:
    """Remembers names and until when; a name is told to the log once as long as it stays."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._told: set[str] = set()

    def add(self, name: str, seconds: float) -> bool:
        """Pass a name over that long; whether the log is to hear of it, for it is new."""
        if len(self._until) < _LIMIT or name in self._until:
            self._until[name] = self._clock() + seconds
        if name in self._told or len(self._told) >= _LIMIT:
            return False
        self._told.add(name)
        return True

    def forget(self, name: str) -> None:
        """The file is dealt with."""
        self._until.pop(name, None)
        self._told.discard(name)

    def names(self) -> frozenset[str]:
        """Those that are passed over now."""
        now = self._clock()
        due = [name for name, until in self._until.items() if until <= now]
        for name in due:
            del self._until[name]
        return frozenset(self._until)
