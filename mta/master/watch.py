"""poll(2) with a call for each descriptor: what a daemon without an event loop waits with."""

import select
from collections.abc import Callable
from typing import Final

__all__ = ["Watch"]

_UNASKED: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL  # poll(2)


class Watch:
    """Descriptors, and what is to be called when one is ready."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, tuple[Callable[[], None], int]] = {}

    def add(self, descriptor: int, call: Callable[[], None], events: int = select.POLLIN) -> None:
        """Call when the descriptor is ready for these, or hung up; again replaces it."""
        self._poll.register(descriptor, events)
        self._watched[descriptor] = (call, events | _UNASKED)

    def remove(self, descriptor: int) -> None:
        """Forget the descriptor, before it is closed."""
        if self._watched.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def wait(self, seconds: float) -> None:
        """Make the calls for what is ready by then."""
        for descriptor, ready in self._poll.poll(max(0.0, seconds) * 1000):
            # An earlier call may have forgotten it, or asked for something else.
            call, events = self._watched.get(descriptor, (None, 0))
            if call is not None and ready & events:
                call()
