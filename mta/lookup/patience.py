"""The time that the tables which may block have for the request in hand, all of them together."""

import time

from mta.lookup.table import TableError

__all__ = ["Patience"]


class Patience:
    """A deadline that is set anew for each request; `seconds` is how long that is, for errors.

    For the one thread that asks the tables.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    def until(self, due: float) -> None:
        """Have it end at this moment (time.monotonic)."""
        self._due = due

    def begin(self) -> None:
        """Have it begin now."""
        self._due = time.monotonic() + self._seconds

    @property
    def over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return time.monotonic() >= self._due

    def left(self, name: str) -> float:
        """Seconds that are left, more than none; TableError for the table of that name if not."""
        left = self._due - time.monotonic()
        if left <= 0:
            raise TableError(f"{name}: no answer within {self._seconds:g} s")
        return left
