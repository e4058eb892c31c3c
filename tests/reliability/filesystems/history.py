"""The medium's log, and what a power cut at one point of it may leave. No IO.

A position is a length of the log. A cut at a position finds the medium with

- all writes that the last flush completed by then covers (see `server`), and
- of the later ones any: none, all, those before some point, some here and there; each whole, or
  torn at the border of a sector. They are kept in their order.

The law: nothing that a flush has covered is ever missing.
"""

import bisect
import enum
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from mmap import mmap

from reliability.filesystems.server import BARRIER, RECORD

__all__ = ["Barrier", "History", "Variant", "Write", "read_log", "surviving"]


@dataclass(frozen=True)
class Write:
    """Octets that reached the medium's cache; `position` is the log's length with it."""

    position: int
    offset: int
    data: memoryview | bytes


@dataclass(frozen=True)
class Barrier:
    """A flush that is completed; what the log held before `covers` is on the medium."""

    position: int
    covers: int


class Variant(enum.StrEnum):
    """What becomes of the writes that no flush has covered."""

    NONE = "none"
    ALL = "all"
    PREFIX = "prefix"
    SOME = "some"
    TORN = "torn"


@dataclass(frozen=True)
class History:
    """What happened to a medium, in order."""

    records: Sequence[Write | Barrier]

    @property
    def positions(self) -> list[int]:
        """Where records end."""
        return [record.position for record in self.records]

    def barriers(self) -> list[Barrier]:
        """All flushes."""
        return [record for record in self.records if isinstance(record, Barrier)]

    def writes(self, begin: int, end: int) -> list[Write]:
        """The writes whose positions are above `begin` and at most `end`."""
        found = self.records[self._index(begin) : self._index(end)]
        return [record for record in found if isinstance(record, Write)]

    def covered(self, cut: int) -> int:
        """What is certainly on the medium at a cut, as a position of the log."""
        done = self.records[: self._index(cut)]
        return max((record.covers for record in done if isinstance(record, Barrier)), default=0)

    def at_least(self, position: int) -> int:
        """The first cut between two records that is not before this position."""
        index = bisect.bisect_left(self.records, position, key=lambda record: record.position)
        return self.records[min(index, len(self.records) - 1)].position

    def _index(self, position: int) -> int:
        return bisect.bisect_right(self.records, position, key=lambda record: record.position)


def read_log(log: mmap | bytes) -> History:
    """Understand a log; a record that is still being written is left out."""
    view, position = memoryview(log), 0
    records: list[Write | Barrier] = []
    while position + RECORD.size <= len(view):
        kind, number, length = RECORD.unpack_from(view, position)
        position += RECORD.size
        if position + length > len(view):
            break
        data = view[position : position + length]
        position += length
        if kind == BARRIER:
            records.append(Barrier(position, number))
        else:
            records.append(Write(position, number, data))
    return History(records)


def surviving(
    writes: Sequence[Write], variant: Variant, chance: random.Random, sector: int
) -> list[Write]:
    """Which of the writes that no flush covers the medium keeps, as far as it keeps them."""
    match variant:
        case Variant.NONE:
            return []
        case Variant.ALL:
            return list(writes)
        case Variant.PREFIX:
            return list(writes[: chance.randint(0, len(writes))])
    share = chance.random()
    kept = [write for write in writes if chance.random() < share]
    if variant is Variant.TORN and writes:
        torn = chance.choice(writes)
        sectors = len(torn.data) // sector
        rest = replace(torn, data=torn.data[: chance.randint(0, sectors) * sector])
        kept = sorted(
            [*(write for write in kept if write is not torn), rest],
            key=lambda write: write.position,
        )
    return kept
