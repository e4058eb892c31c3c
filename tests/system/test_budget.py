"""What a message costs each daemon in system calls and frames: so that it does not creep up.

Counts, never times. Messages come one at a time to a system at rest, when nothing shares a wake-up:
under load they cost less. The limits are what was counted, with a small head-room; whoever makes a
daemon cheaper lowers its limit here, and whoever must make one dearer says why.
"""

import contextlib
import functools
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.budget import CallCounter, Cost
from support.dialogue import Dialogue
from support.instance import Instance, NewInstance
from support.load import message
from support.waiting import wait_until

WARMING = 5
MESSAGES = 40


@dataclass(frozen=True)
class Limit:
    """The most that one message may cost a row; calls are those that luck does not change."""

    calls: float
    frames: float


LIMITS = {
    "smtp": Limit(calls=20, frames=1.5),
    "cleanup": Limit(calls=20, frames=2.5),  # to smtpd and to qmgr
    "rewrite": Limit(calls=2, frames=0.5),  # others remember its answers
    "qmgr": Limit(calls=26, frames=1.5),
    "virtual": Limit(calls=43, frames=1.5),
    "log": Limit(calls=39, frames=0.5),  # 7 for each of 5 lines, which seldom share a wake-up
}


@pytest.mark.requires("strace")
def test_no_message_costs_more_than_its_budget(new_instance: NewInstance, short_path: Path) -> None:
    rows = {row: {"min_free": 1, "numprocs": 1} for row in LIMITS if row not in ("qmgr", "log")}
    instance = new_instance(services=rows)
    instance.start()
    pids = {row: instance.wait_ready(row)[0] for row in LIMITS}
    with instance.smtp() as client, contextlib.ExitStack() as stack:
        client.greeted()
        _send(instance, client, range(WARMING))
        counters = {
            row: stack.enter_context(CallCounter(pid, short_path / f"{row}.calls"))
            for row, pid in pids.items()
        }
        _send(instance, client, range(WARMING, WARMING + MESSAGES))
    costs = {row: counter.cost(MESSAGES) for row, counter in counters.items()}
    for row, cost in costs.items():
        print(f"{row}: {cost}")  # pytest shows it when a limit is broken
    assert costs["smtp"].frames >= 1, "nothing was counted"
    over = {row: str(cost) for row, cost in costs.items() if not _is_within(cost, LIMITS[row])}
    assert not over


def _send(instance: Instance, client: Dialogue, numbers: range) -> None:
    """Send one message after the other, each when the last has left the queue."""
    for number in numbers:
        reply = client.mail("a@b.example", ["bob@posthouse.test"], message(f"{number}", 4000))
        queue_id = reply.text.split()[-1]
        path = instance.queue / "incoming" / queue_id[-1] / queue_id
        wait_until(functools.partial(_is_gone, path), f"the end of {queue_id}")


def _is_within(cost: Cost, limit: Limit) -> bool:
    return cost.steady_calls <= limit.calls and cost.frames <= limit.frames


def _is_gone(path: Path) -> bool:
    return not path.exists()
