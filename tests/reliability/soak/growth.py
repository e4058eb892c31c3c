"""Whether something grows: what a process held at its rests, the last third against the first.

The law: like is compared with like. A series belongs to one process, so a restart never hides
growth and never looks like it; all its values were taken at rest; and the median of a third stands
for it, so that one odd value decides nothing. What grows by a little for each message, reload or
client passes any bound in the end: the longer the run, the smaller the leak that is seen.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["MEMORY", "SHORTEST", "Bound", "Growth", "growths"]

SHORTEST: Final = 6  # values of a series that is compared strictly: two a third
_LOOSE: Final = 4  # times the bound, where there are fewer
_FEWEST: Final = 2


@dataclass(frozen=True)
class Bound:
    """How much more the last third may have than the first."""

    part: float  # of the first third
    extra: float  # beyond that, in the unit of the values

    def limit(self, first: float, *, strict: bool) -> float:
        """The most that the last third may have."""
        return first * (1 + self.part) + self.extra * (1 if strict else _LOOSE)


MEMORY: Final = Bound(part=0.10, extra=1024)  # KiB


@dataclass(frozen=True)
class Growth:
    """One series, the process's of a row, judged."""

    row: str
    pid: int
    count: int  # values
    first: float  # medians of the thirds
    last: float
    limit: float

    def __str__(self) -> str:
        rise = f"from {self.first:g} to {self.last:g} in {self.count} rests"
        return f"{self.row}[{self.pid}] grew {rise}, at most {self.limit:g} expected"

    @property
    def excessive(self) -> bool:
        """Whether it grew beyond its bound."""
        return self.last > self.limit


def growths(series: Mapping[tuple[str, int], Sequence[float]], bound: Bound) -> list[Growth]:
    """Judge each series, by row and process, that is long enough to have a beginning and an end."""
    return [
        _judged(row, pid, values, bound)
        for (row, pid), values in series.items()
        if len(values) >= _FEWEST
    ]


def _judged(row: str, pid: int, values: Sequence[float], bound: Bound) -> Growth:
    third = max(1, len(values) // 3)
    first, last = _median(values[:third]), _median(values[-third:])
    strict = len(values) >= SHORTEST
    return Growth(row, pid, len(values), first, last, bound.limit(first, strict=strict))


def _median(values: Iterable[float]) -> float:
    return float(statistics.median(values))
