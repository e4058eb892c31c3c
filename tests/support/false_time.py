"""Puts the wall clock of an interpreter off, by what a file says at each look: see support.clock.

It is imported while the interpreter starts, and maps its file before any sandbox is entered. The
files that the kernel makes keep their true times, as those of a file server with another clock do.
"""

import mmap
import os
import struct
import time

__all__ = ["FILE", "FORM", "install"]

FILE = os.path.join(os.path.dirname(__file__), "false_time.offsets")
FORM = struct.Struct("dd")  # seconds: of the wall clock; of the clock that goes on in sleep


def install() -> None:
    """Replace what tells the time; who asks for the present otherwise, gets the truth."""
    with open(FILE, "rb") as file:
        offsets = mmap.mmap(file.fileno(), FORM.size, prot=mmap.PROT_READ)
    true_time, true_time_ns, true_clock = time.time, time.time_ns, time.clock_gettime

    def false_time() -> float:
        return true_time() + float(FORM.unpack_from(offsets)[0])

    def false_time_ns() -> int:
        return true_time_ns() + int(FORM.unpack_from(offsets)[0]) * 10**9

    def false_clock(clock: int) -> float:
        wall, asleep = FORM.unpack_from(offsets)
        offset = {time.CLOCK_REALTIME: wall, time.CLOCK_BOOTTIME: asleep}.get(clock, 0.0)
        return true_clock(clock) + float(offset)

    time.time, time.time_ns, time.clock_gettime = false_time, false_time_ns, false_clock


if os.path.exists(FILE):  # else this is the source that interpreters get copies of
    install()
