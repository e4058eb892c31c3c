"""Our guests in Supervisor's loop: what it polls for us, and how it is woken in time.

An exception in `readable` or `writable` ends supervisord, and one in an event callback too, so
everything here only records, but for the one pass, which guards itself. Python's poll resumes
after a signal (PEP 475), so signals write to a pipe that is polled too.
"""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterable

from supervisor.medusa import asyncore_25

from mta.master.plugin.pool import Pool

__all__ = ["DemandDispatcher", "PassDispatcher", "readable_among"]


class PassDispatcher:
    """The first dispatcher of the loop: runs the pass each turn; a signal ends its poll."""

    def __init__(self, run_pass: Callable[[], None]) -> None:
        self._run_pass = run_pass
        self._reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        asyncore_25.socket_map[self._reader] = self

    def readable(self) -> bool:
        """Called once in each turn of the loop, before it polls."""
        self._run_pass()
        return True

    def writable(self) -> bool:
        """Nothing is written through the loop."""
        return False

    def handle_read_event(self) -> None:
        """Forget the signals' numbers: Supervisor handles them by itself later in this turn."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._reader, 4096)) == 4096:
                pass

    def handle_error(self) -> None:
        """Supervisor caught an exception of `handle_read_event`, which raises none."""


class DemandDispatcher:
    """Watches one listener while its row wants to know of demand."""

    def __init__(self, pool: Pool, demanded: Callable[[str], None]) -> None:
        self._pool = pool
        self._demanded = demanded

    def readable(self) -> bool:
        """Whether a waiting client matters now."""
        return self._pool.watching

    def writable(self) -> bool:
        """Listeners are never written."""
        return False

    def handle_read_event(self) -> None:
        """Record the demand; Supervisor may report one event after interest has ceased."""
        if self._pool.watching:
            self._pool.demand()
            self._demanded(self._pool.row.name)

    def handle_error(self) -> None:
        """Supervisor caught an exception of `handle_read_event`, which raises none."""


def readable_among(descriptors: Iterable[int]) -> set[int]:
    """Which of these are readable right now, in one system call."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poller.poll(0)}
