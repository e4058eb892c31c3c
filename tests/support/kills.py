"""Killing daemons at chosen system calls: what a stage is, and what counts as a hit.

A stage is a system call of one daemon: strace sends SIGKILL as the daemon enters it, so the call
itself does not happen. What counts as a hit is what strace says it struck, not what was intended;
the summary of the test run shows the histogram.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.instance import Instance
from support.load import Ledger
from support.tracing import Kill, Trace
from support.waiting import wait_until

__all__ = ["Stage", "strike"]


@dataclass(frozen=True)
class Stage:
    """Kill the row's process at one event of a message."""

    service: str
    event: str
    kill: Kill
    struck: str  # what strace's line of the fatal call must contain
    size: int = 0  # octets of the message's body

    def __str__(self) -> str:
        return f"{self.service}: {self.event}"


def strike(
    instance: Instance,
    stage: Stage,
    ledger: Ledger,
    output: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Send one message while the stage's process is watched, until that is dead."""
    (pid,) = instance.pids(stage.service)
    with Trace(pid, output, stage.kill.calls, stage.kill) as trace:
        _try_to_send(instance, ledger, stage)
        struck = wait_until(trace.struck, f"the death of {stage}")
    assert stage.struck in struck, struck
    record_property("struck", f"{stage} ({struck.partition('(')[0]})")


def _try_to_send(instance: Instance, ledger: Ledger, stage: Stage) -> None:
    """One attempt; a client whose server died under it has no acknowledgement, and goes."""
    try:
        with instance.smtp(timeout=30.0) as client:
            ledger.send(client.greeted(), str(stage), stage.size)
            client.say("QUIT", 221)
    except (OSError, EOFError, AssertionError):
        return
