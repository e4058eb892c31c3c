"""The way through a recording under one model: after each event, every variant's state."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reliability.powercut.model import Event, Model, Node, World, events
from reliability.powercut.operations import Recording
from reliability.powercut.variants import Picture, Variant

__all__ = ["Change", "Stop", "walk"]


@dataclass(frozen=True)
class Change:
    """A state at one point, and the nodes that are not as they were at the point before."""

    picture: Picture
    nodes: Sequence[Node]


@dataclass(frozen=True)
class Stop:
    """A point at which the power may be cut: after `event`, before the next. Changes with each."""

    number: int
    event: Event
    world: World
    changes: Sequence[Change]  # one for each variant

    @property
    def text(self) -> str:
        """The point in words."""
        word = "return" if self.event.returns else "entry"
        return f"cut after event {self.number} ({word} of {str(self.event.operation)[:160]})"


def walk(recording: Recording, model: Model, chosen: Sequence[Variant]) -> Iterator[Stop]:
    """All points, in order."""
    world = World(recording, model)
    pictures = [Picture(world, variant) for variant in chosen]
    issued: list[Node | None] = []  # by operation
    for number, event in enumerate(events(recording)):
        touched = world.step(event)
        if not event.returns:
            issued.append(next(iter(touched), None))
        changes = []
        for picture in pictures:
            nodes = set(touched)
            if not event.returns and picture.variant.lag < len(issued):
                past = issued[-1 - picture.variant.lag]
                nodes |= {past} if past is not None else set()
            changes.append(Change(picture, picture.update(nodes, len(issued) - 1)))
        yield Stop(number, event, world, changes)
