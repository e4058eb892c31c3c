"""Each daemon of the path is killed at each event of a message; what was acknowledged arrives.

A stage is a system call of one daemon: strace sends SIGKILL as the daemon enters it, so the call
itself does not happen. The histogram counts what strace says it struck, not what was intended.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.dialogue import Dialogue
from support.instance import Instance, NewInstance
from support.load import Ledger
from support.tracing import Kill, Trace
from support.waiting import wait_until

SEND = "sendto,sendmsg,write,writev"
STREAMED = 200_000  # octets: several frames


@dataclass(frozen=True)
class Stage:
    """Kill the row's process at one event of a message."""

    service: str
    event: str
    kill: Kill
    size: int = 0  # octets of the message's body

    def __str__(self) -> str:
        return f"{self.service}: {self.event}"


STAGES = (
    Stage("smtp", "connect", Kill("accept4")),
)


def test_no_stage_loses_mail(new_instance: NewInstance, short_path: Path) -> None:
    rows = ("smtp", "cleanup", "rewrite", "virtual")
    instance = new_instance(
        {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s"},
        {row: {"min_free": 1, "numprocs": 1} for row in rows},
    )
    instance.start()
    ledger = Ledger(instance, "bob")
    struck: Counter[str] = Counter()
    for number, stage in enumerate(STAGES):
        call = _strike(instance, ledger, stage, short_path / f"strace-{number}")
        struck[f"{stage} ({call})"] += 1
    copies = ledger.wait_delivered()
    print("\n".join(f"{count:3d}  {name}" for name, count in struck.items()))
    assert len(struck) == len(STAGES)
    for stage in STAGES:
        assert copies.get(str(stage), 0) <= 2, f"one crash made more than one extra copy: {stage}"


def _strike(instance: Instance, ledger: Ledger, stage: Stage, output: Path) -> str:
    """Send a message through a daemon that dies on the way; the call at which it died."""
    (pid,) = instance.wait_ready(stage.service)
    with Trace(pid, output, stage.kill.calls, stage.kill) as trace:
        _send(instance, ledger, stage)
        return wait_until(trace.killed_at, f"the death of {stage}")


def _send(instance: Instance, ledger: Ledger, stage: Stage) -> None:
    """One attempt; a client whose server died under it has no acknowledgement, and goes."""
    try:
        with instance.smtp() as client:
            ledger.send(client.greeted(), str(stage), stage.size)
            client.say("QUIT", 221)
    except (OSError, EOFError, AssertionError):
        return
