"""What a proof is: a claim, and a function that tries to refute it.

The law: a proof gets all it needs from its Run, so that the same seed and size make the same trial
as far as the machine's timing allows; and what it finds is in its Report, never only on the
terminal. A failure says what was found and where to look; it is no exception.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

__all__ = ["Progress", "Proof", "Report", "Run", "Table"]


class Progress(Protocol):
    """Tells a person how far a proof has come."""

    def __call__(self, done: float, text: str) -> None:
        """`done` is the part of the proof's size that is behind us, in its unit."""
        ...


@dataclass(frozen=True)
class Run:
    """One run of a proof."""

    seed: int
    size: int  # in the proof's unit
    folder: Path  # empty, on a disk; users of daemons can pass it; it is removed afterwards
    progress: Progress

    def random(self, purpose: str) -> random.Random:
        """A source of its own for each purpose, so that none disturbs another."""
        return random.Random(f"{self.seed}/{purpose}")


@dataclass(frozen=True)
class Table:
    """Rows of text under a heading each."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass
class Report:
    """What a run found: figures in the order in which they are to be read."""

    figures: dict[str, str] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Proof:
    """One claim and how it is tried; `size` is that of a whole run, `short` that of the test."""

    name: str
    claim: str
    unit: str
    size: int
    short: int
    prove: Callable[[Run], Report]
    needs: tuple[str, ...] = ()  # commands, or `root`: see support.needs
