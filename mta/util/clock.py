"""The clock for what waits: nobody sets it, and it goes on while the machine sleeps."""

import time

__all__ = ["boottime"]


def boottime() -> float:
    """Seconds since the machine was started (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
