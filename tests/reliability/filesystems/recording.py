"""One run on a file system: what happened to the medium, what was acknowledged, what arrived."""

import os
import random
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from support.waiting import wait_until

from reliability.filesystems.device import loop_device, mounted
from reliability.filesystems.filesystems import make
from reliability.filesystems.history import History
from reliability.filesystems.load import Arrivals, Sent, send_all
from reliability.filesystems.medium import served_medium
from reliability.filesystems.site import Site

__all__ = ["SIZE", "Recording", "record"]

SIZE: Final = 512 << 20  # octets; what is never written costs nothing
_EMPTYING: Final = 60.0  # seconds


@dataclass(frozen=True)
class Recording:
    """One run; all positions are of its history."""

    history: History
    begin: int  # where the load began
    sent: list[Sent]
    arrivals: Arrivals
    failures: list[str]

    @property
    def writes(self) -> int:
        """How many the load made."""
        return sum(1 for record in self.history.records if record.position > self.begin) - (
            self.barriers
        )

    @property
    def barriers(self) -> int:
        """How many flushes the load made."""
        return sum(barrier.position > self.begin for barrier in self.history.barriers())


def record(site: Site, chance: random.Random) -> Recording:
    """Make a file system, start the system on it, send all letters, and wait for an empty queue."""
    with ExitStack() as stack:
        medium = stack.enter_context(served_medium(site.disk.with_name("medium"), SIZE))
        backing = os.open(medium.path, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, backing)
        device = stack.enter_context(loop_device(backing, direct=True))
        make(site.kind, device)
        stack.enter_context(mounted(device, site.disk, site.kind))
        site.prepare_disk()
        arrivals = site.next_hop.listen(lambda: medium.position)
        stack.callback(site.kill_all)
        site.house.start()
        begin = medium.position
        pile = list(site.letters.values())
        sent, failures = send_all(
            site.house.port, pile, site.next_hop, lambda: medium.position, chance
        )
        try:
            wait_until(lambda: not site.house.queue_files(), "an empty queue", _EMPTYING)
        except AssertionError as error:
            failures.append(f"before any cut: {error}")
        return Recording(medium.history(), begin, sent, arrivals, failures)
