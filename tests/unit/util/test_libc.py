"""The calls of the C library that Python does not wrap."""

import subprocess
import sys


def state_after(calls: str) -> dict[str, str]:
    """The lines of /proc/self/status in a process of its own that has made the calls."""
    program = f"from mta.util.libc import *\n{calls}\nprint(open('/proc/self/status').read())\n"
    command = [sys.executable, "-I", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)


def test_capabilities_that_are_kept() -> None:
    """None is gained, and what is executed later may be given what it may."""
    before, after = state_after(""), state_after("keep_capabilities((5, 6, 7))")
    for name in ("CapPrm", "CapEff"):
        assert int(after[name], 16) == int(before[name], 16) & 0b11100000
    assert int(after["CapInh"], 16) == 0
    assert after["CapBnd"] == before["CapBnd"]


def test_no_new_privileges() -> None:
    assert state_after("no_new_privileges()")["NoNewPrivs"] == "1"
