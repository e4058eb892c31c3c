"""poll(2) with a call for each descriptor: what a daemon without an event loop waits with."""

import select
from collections.abc import Callable

__all__ = ["Watch"]


class Watch:
    """Descriptors, and what is to be called when one is ready."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._calls: dict[int, Callable[[], None]] = {}

    def add(self, descriptor: int, call: Callable[[], None], events: int = select.POLLIN) -> None:
        """Call when the descriptor is ready for these, or failed; again replaces it."""
        self._poll.register(descriptor, events)
        self._calls[descriptor] = call

    def remove(self, descriptor: int) -> None:
        """Forget the descriptor, before it is closed."""
        if self._calls.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def wait(self, seconds: float) -> None:
        """Make the calls for what is ready by then."""
        for descriptor, _ in self._poll.poll(max(0.0, seconds) * 1000):
            call = self._calls.get(descriptor)
            if call is not None:  # else an earlier call has forgotten it
                call()
