"""Waiting for what another process does: look again until it is so, or say what was missing."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait_until"]

Found = TypeVar("Found")

_INTERVAL = 0.02  # seconds


def wait_until(
    look: Callable[[], Found], what: str, timeout: float = 10.0, *, interval: float = _INTERVAL
) -> Found:
    """The first true answer of `look`; AssertionError names `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}; last seen: {found!r}")
        time.sleep(interval)
    return found
