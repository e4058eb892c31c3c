"""What was measured, pair by pair, and what may be said of it.

The law: the two values of a pair were taken one right after the other on the same machine, so what
counts is their ratio, then the median and the range over all pairs. A value that is missing is
missing: it is never taken for zero.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

__all__ = [
    "Figure",
    "Machine",
    "Measure",
    "Pair",
    "Results",
    "ServerName",
    "Spread",
    "measures_of",
    "percentile",
    "spread",
]

ServerName = Literal["postfix", "posthouse"]


class Figure(Struct, frozen=True):
    """One kind of number, its unit, and which direction is good."""

    name: str
    unit: str
    better: Literal["more", "less"]


class Pair(Struct, frozen=True):
    """One figure of both servers, taken in turn; None: not measured."""

    postfix: float | None
    posthouse: float | None


class Spread(Struct, frozen=True):
    """The median of some values, and their range."""

    median: float
    least: float
    most: float


class Measure(Struct, frozen=True):
    """One figure of one case; `size` is the number that grows from case to case, or 0."""

    group: str
    case: str
    figure: Figure
    pairs: tuple[Pair, ...]
    size: int = 0

    @property
    def postfix(self) -> Spread | None:
        """What Postfix showed."""
        return spread(_known(pair.postfix for pair in self.pairs))

    @property
    def posthouse(self) -> Spread | None:
        """What Posthouse showed."""
        return spread(_known(pair.posthouse for pair in self.pairs))

    @property
    def ratio(self) -> Spread | None:
        """Posthouse to Postfix, pair by pair; None where no pair is whole."""
        return spread(
            [
                pair.posthouse / pair.postfix
                for pair in self.pairs
                if pair.posthouse is not None and pair.postfix
            ]
        )


class Machine(Struct, frozen=True):
    """What the figures were taken on."""

    processor: str
    cores: int
    memory: int  # octets
    kernel: str
    system: str
    file_system: str  # of both queues
    load: float  # over the last minute, before the start
    python: str
    posthouse: str
    postfix: str


class Results(Struct, frozen=True):
    """All that a run found; what is written as JSON, and what the report is made from."""

    date: str
    machine: Machine
    quick: bool
    pairs: int
    minutes: float
    commands: tuple[str, ...]
    measures: tuple[Measure, ...]
    failures: tuple[str, ...]  # why what is missing is missing


def spread(values: Sequence[float]) -> Spread | None:
    """Median and range, or None when there is no value."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile, `share` from 0 to 1; ValueError when there is no value."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def measures_of(
    group: str,
    row: Callable[[Figure], str],
    size: int,
    turns: Sequence[Mapping[ServerName, Mapping[Figure, float]]],
) -> list[Measure]:
    """Turn what each pair of runs found into one measure a figure, in the order of finding."""
    figures = dict.fromkeys(figure for turn in turns for found in turn.values() for figure in found)
    return [
        Measure(
            group,
            row(figure),
            figure,
            tuple(
                Pair(turn.get("postfix", {}).get(figure), turn.get("posthouse", {}).get(figure))
                for turn in turns
            ),
            size,
        )
        for figure in figures
    ]


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
