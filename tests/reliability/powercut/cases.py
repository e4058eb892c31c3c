"""The states on which the real system is started: chosen evenly over the whole recording.

A state counts if mail waits in it, for on any other nothing happens; and each tree counts once. A
point where a variant has nothing to offer leaves its turn to the next point.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mta.queue.reader import COMPLETE_MODE
from reliability.powercut.model import Model, Node, World, events
from reliability.powercut.operations import Recording
from reliability.powercut.variants import Picture, Variant
from reliability.powercut.walk import Stop, walk

__all__ = ["Case", "Leaf", "cases"]


@dataclass(frozen=True)
class Leaf:
    """One file or folder of a state."""

    path: str
    mode: int
    octets: bytes | None  # None: a folder


@dataclass(frozen=True)
class Case:
    """One state, and what the world had been told by then."""

    model: Model
    variant: str
    text: str  # of the point
    tree: tuple[Leaf, ...]  # parents come first
    acknowledged: frozenset[str]  # queue ids
    taken: Counter[tuple[str, str]]  # queue id and recipient


def cases(
    recording: Recording, model: Model, chosen: list[Variant], count: int, source: random.Random
) -> Iterator[Case]:
    """At most `count` cases, each variant as often as the others."""
    points = len(events(recording))
    turns = [chosen[place % len(chosen)] for place in range(count)]
    source.shuffle(turns)
    if turns:  # the last point may be where nothing waits, if all that was issued is there
        last = turns.index(chosen[0])
        turns[0], turns[last] = turns[last], turns[0]
    due = [(place + source.random()) * points / count for place in range(count)]
    waiting: list[Variant] = []
    started: set[tuple[int, int]] = set()
    for stop in walk(recording, model, chosen):
        while due and due[0] <= stop.number:
            due.pop(0)
            waiting.append(turns.pop())
        for variant in waiting.copy():
            picture = next(c.picture for c in stop.changes if c.picture.variant is variant)
            key = (picture.digest, len(stop.world.acknowledged))
            if key not in started and _waits(picture):
                started.add(key)
                waiting.remove(variant)
                yield _case(model, stop, picture)


def _waits(picture: Picture) -> bool:
    return any(
        kept.mode == COMPLETE_MODE
        and kept.contents is not None
        and kept.path.startswith(("queue/incoming/", "queue/deferred/"))
        for kept in picture.kept.values()
    )


def _case(model: Model, stop: Stop, picture: Picture) -> Case:
    leaves = [_leaf(picture, node, stop.world) for node in picture.kept if picture.find(node)]
    return Case(
        model,
        picture.variant.name,
        stop.text,
        tuple(sorted(leaves, key=lambda leaf: leaf.path)),
        frozenset(stop.world.acknowledged),
        Counter((take.queue_id, take.recipient) for take in stop.world.taken),
    )


def _leaf(picture: Picture, node: Node, world: World) -> Leaf:
    kept = picture.kept[node]
    octets = None
    if kept.contents is not None:
        octets = kept.contents.octets(world.histories[node].pieces)
    return Leaf(kept.path, kept.mode, octets)
