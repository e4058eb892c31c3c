"""poll(2) with a call for each descriptor: what a daemon without an event loop waits with."""

import select
from collections.abc import Callable

__all__ = ["Watch"]


class _Call:
    """One registration, told from the next one of the same number."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call


class Watch:
    """Descriptors, and what is to be called when one is ready."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._calls: dict[int, _Call] = {}

    def add(self, descriptor: int, call: Callable[[], None], events: int = select.POLLIN) -> None:
        """Call when the descriptor is ready for these, or hung up; again replaces it."""
        self._poll.register(descriptor, events)
        self._calls[descriptor] = _Call(call)

    def remove(self, descriptor: int) -> None:
        """Forget the descriptor, before it is closed."""
        if self._calls.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def wait(self, seconds: float) -> None:
        """Make the calls for what is ready by then."""
        ready = [
            (descriptor, self._calls[descriptor])
            for descriptor, _ in self._poll.poll(max(0.0, seconds) * 1000)
        ]
        for descriptor, entry in ready:
            # An earlier call may have closed it, and another file may have its number by now, or
            # have asked for something else: then the next poll(2) tells what is so.
            if self._calls.get(descriptor) is entry:
                entry.call()
