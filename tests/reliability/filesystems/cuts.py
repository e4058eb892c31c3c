"""Where the power is cut: at places that matter, in turn with what becomes of unflushed writes.

The law: fifteen cuts have each pair of place and variant; after one cut of four the whole system is
started on what is left.
"""

import enum
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from reliability.filesystems.history import Barrier, History, Variant, Write

__all__ = ["Cut", "Place", "planned"]

_STARTED: Final = 4  # has no divisor in common with the numbers of places and of variants


class Place(enum.StrEnum):
    """Where in the log a cut is."""

    ACKNOWLEDGEMENT = "after a 250"
    WRITE = "after a write"
    FLUSH = "before the end of a flush"


@dataclass(frozen=True)
class Cut:
    """One power cut."""

    position: int
    place: Place
    variant: Variant
    started: bool  # whether the system is started on what is left


def planned(
    history: History,
    begin: int,
    acknowledged: Sequence[int],
    count: int,
    chance: random.Random,
) -> list[Cut]:
    """That many cuts behind position `begin`, in order; `acknowledged` are positions of 250s."""
    places = _places(history, begin, acknowledged)
    turn = chance.randrange(len(Variant))
    cuts = []
    for number in range(count):
        place = list(Place)[number % len(Place)]
        variant = list(Variant)[(number + turn) % len(Variant)]
        position = chance.choice(places[place])
        cuts.append(Cut(position, place, variant, number % _STARTED == 1))
    return sorted(cuts, key=lambda cut: cut.position)


def _places(history: History, begin: int, acknowledged: Sequence[int]) -> dict[Place, list[int]]:
    written = [
        (earlier.position, later)
        for earlier, later in pairwise(history.records)
        if isinstance(earlier, Write) and earlier.position >= begin
    ]
    return {
        Place.ACKNOWLEDGEMENT: [history.at_least(position) for position in acknowledged],
        Place.WRITE: [position for position, _ in written],
        Place.FLUSH: [position for position, later in written if isinstance(later, Barrier)],
    }
