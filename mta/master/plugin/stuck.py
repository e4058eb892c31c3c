"""A listener that stays readable although someone claims to be free, and nothing is served."""

from typing import Final

__all__ = ["STUCK_TIME", "StuckWatch"]

STUCK_TIME: Final = 5.0  # seconds


class StuckWatch:
    """Judges samples taken about once a second: one good sample clears all suspicion."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._served = 0

    def sample(self, suspicious: bool, served: int, now: float) -> bool:
        """Whether all samples of the last 5 s were suspicious while `served` stood still."""
        if not suspicious:
            self._since = None
        elif self._since is None or served != self._served:
            self._since, self._served = now, served
        elif now - self._since >= STUCK_TIME:
            self._since = None
            return True
        return False
