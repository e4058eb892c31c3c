"""One cut: the medium as it was left, the kernel's recovery, a look, and perhaps a new start."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from support.waiting import wait_until

from reliability.filesystems.check import Copies, Whereabouts, arrived, locate, look
from reliability.filesystems.cuts import Cut
from reliability.filesystems.device import MountError, loop_device, mounted
from reliability.filesystems.filesystems import forget, inspect
from reliability.filesystems.history import surviving
from reliability.filesystems.image import Image
from reliability.filesystems.load import Sent
from reliability.filesystems.recording import SIZE, Recording
from reliability.filesystems.site import Site

__all__ = ["Recovery", "Seen", "recovery_of"]

_DELIVERY: Final = 60.0  # seconds
_SHOWN: Final = 2000  # characters of the log
_MOST_COPIES: Final = 2  # of one message for one recipient: a cut is one crash


@dataclass
class Seen:
    """What came of one cut."""

    unflushed: int  # writes that no flush had covered
    checked: int = 0  # messages that had been acknowledged
    most: int = 0  # copies of one message that one recipient has, after a start
    places: Counter[Whereabouts] = field(default_factory=Counter)  # of those, by recipient
    failures: list[str] = field(default_factory=list)


class Recovery:
    """All cuts of one recording, in the order of their positions."""

    def __init__(self, site: Site, recording: Recording, image: Image) -> None:
        self._site = site
        self._recording = recording
        self._image = image

    def after(self, cut: Cut, chance: random.Random) -> Seen:
        """Cut the power there, and look what is left."""
        history, kind = self._recording.history, self._site.kind
        covered = history.covered(cut.position)
        self._image.advance(covered)
        unflushed = history.writes(covered, cut.position)
        kept = surviving(unflushed, cut.variant, chance, kind.sector)
        seen = Seen(len(unflushed))
        with self._image.cut(kept) as left, loop_device(left) as device:
            try:
                with mounted(device, self._site.disk, kind):
                    self._examine(cut, seen)
            except MountError as error:
                seen.failures.append(f"cannot be mounted: {error}")
            else:
                if fault := inspect(kind, device):
                    seen.failures.append(f"damaged: {fault}")
            forget(kind, device)
        return seen

    def _examine(self, cut: Cut, seen: Seen) -> None:
        promised = [sent for sent in self._recording.sent if sent.position <= cut.position]
        before, _ = arrived(self._recording.arrivals.until(cut.position), self._site.letters)
        found = look(self._site.house, self._site.letters)
        seen.checked = len(promised)
        seen.places, lost = locate(promised, found, before)
        seen.failures += found.broken + lost
        if cut.started:
            failures, seen.most = self._start(promised, before)
            seen.failures += [f"started: {failure}" for failure in failures]

    def _start(self, promised: list[Sent], before: Copies) -> tuple[list[str], int]:
        """Start the system: all that was promised is delivered, once or twice; the most copies."""
        after = self._site.next_hop.listen(lambda: 0)
        failures = self._deliver()
        taken, strange = arrived(after, self._site.letters)
        found = look(self._site.house, self._site.letters)
        _, lost = locate(promised, found, before + taken)
        failures += found.broken + strange + lost
        copies = found.delivered + before + taken
        failures += [
            f"{recipient} has {count} copies of {mark}"
            for (mark, recipient), count in copies.items()
            if count > _MOST_COPIES
        ]
        return failures, max(copies.values(), default=0)

    def _deliver(self) -> list[str]:
        """Let the system run until its queue is empty; what was wrong."""
        house = self._site.house
        try:
            house.start()
            wait_until(
                lambda: not house.messages("incoming", "deferred"), "an empty queue", _DELIVERY
            )
        except AssertionError as error:
            return [f"{error}; {house.story()[-_SHOWN:]}"]
        finally:
            self._site.kill_all()
        return []


@contextmanager
def recovery_of(site: Site, recording: Recording) -> Iterator[Recovery]:
    """What is needed to try all cuts of a recording."""
    image = Image(recording.history, SIZE)
    try:
        yield Recovery(site, recording, image)
    finally:
        image.close()
