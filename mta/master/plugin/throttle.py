"""How long a failing row pauses: 1 s, doubling, to service_throttle_time."""

from typing import Final

__all__ = ["PROVEN_LIFETIME", "Throttle"]

FIRST_PAUSE: Final = 1.0  # seconds
PROVEN_LIFETIME: Final = 10.0  # seconds of being ready that end the doubling


class Throttle:
    """The pause of one row; several failures within one pause count as one."""

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0
        self.failed_at = 0.0

    def active(self, now: float) -> bool:
        """Whether the row must not start a process yet."""
        return now < self.until

    def failed(self, now: float, longest: float) -> float:
        """Record a failure; returns the seconds until the row is tried again."""
        self.failed_at = now
        if not self.active(now):
            # 2**16 s exceeds every pause that can be configured.
            self.until = now + min(FIRST_PAUSE * 2.0 ** min(self.failures, 16), longest)
            self.failures += 1
        return round(self.until - now, 3)

    def reset(self) -> None:
        """A process proved itself, or an operator asked for a fresh start."""
        self.failures = 0
        self.until = 0.0
