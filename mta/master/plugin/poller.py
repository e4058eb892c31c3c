"""What Supervisor's loop polls: in each turn what that turn asks for, and nothing else.

The law: a registration lives for one turn. Supervisor's own poller keeps it until the loop meets a
closed descriptor; if the number was given away before that, to the writing end of a pipe whose
reader is gone, say, the kernel reports an error on it for ever, which Supervisor overlooks: then it
never sleeps again. A second law: it waits no longer than until the next pass is due.
"""

import select
import time
from collections.abc import Callable
from typing import Final

from supervisor.poller import PollPoller

__all__ = ["TurnPoller"]

_READ: Final = select.POLLIN | select.POLLPRI | select.POLLHUP
_WRITE: Final = select.POLLOUT
_WRONG: Final = select.POLLERR | select.POLLNVAL


class TurnPoller(PollPoller):  # type: ignore[misc]
    """Takes the place of `options.poller`; `deadline` is a time of the monotonic clock."""

    def __init__(self, options: object, deadline: Callable[[], float]) -> None:
        super().__init__(options)
        self._deadline = deadline

    def initialize(self) -> None:
        """Begin without registrations."""
        self._kernel = select.poll()
        self._asked: dict[int, int] = {}  # in this turn
        self._polled: dict[int, int] = {}  # in the last one, as the kernel's set still has it
        self._turn_over = False

    def register_readable(self, fd: int) -> None:
        """Poll for reading in this turn."""
        self._ask(fd, _READ)

    def register_writable(self, fd: int) -> None:
        """Poll for writing in this turn."""
        self._ask(fd, _WRITE)

    def unregister_readable(self, fd: int) -> None:
        """Nothing to do: the next turn does not ask for it."""

    def unregister_writable(self, fd: int) -> None:
        """Nothing to do, as above."""

    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        """Wait for up to `timeout` seconds; the readable and the writable descriptors.

        One with an error is both: whoever asked for it finds out what is wrong.
        """
        for fd in self._polled.keys() - self._asked.keys():
            self._kernel.unregister(fd)
        for fd, events in self._asked.items():
            if self._polled.get(fd) != events:
                self._kernel.register(fd, events)
        self._polled, self._turn_over = self._asked, True
        wait = max(0.0, min(timeout, self._deadline() - time.monotonic()))
        readable, writable = [], []
        for fd, found in self._kernel.poll(wait * 1000):
            events = found | (self._asked[fd] if found & _WRONG else 0)
            if events & _READ:
                readable.append(fd)
            if events & _WRITE:
                writable.append(fd)
        return readable, writable

    def _ask(self, fd: int, events: int) -> None:
        if self._turn_over:
            self._asked, self._turn_over = {}, False
        self._asked[fd] = self._asked.get(fd, 0) | events
