"""What a message costs each daemon in system calls and frames: so that it does not creep up.

Counts, never times. Messages come one at a time to a system at rest, when nothing shares a wake-up:
under load they cost less. The limits are what was counted, with a small head-room; whoever makes a
daemon cheaper lowers its limit here, and whoever must make one dearer says why.
"""

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.budget import CallCounter, Cost
from support.dialogue import Dialogue
from support.instance import Instance, NewInstance
from support.load import message
from support.ports import free_port
from support.smtp_sink import SmtpSink
from support.waiting import wait_until

WARMING = 5
MESSAGES = 40


@dataclass(frozen=True)
class Limit:
    """The most that one message may cost a row; calls are those that luck does not change."""

    calls: float
    frames: float


RECEIVING = {
    "smtp": Limit(calls=19, frames=1.5),
    "cleanup": Limit(calls=19, frames=2.5),  # to smtpd and to qmgr
    "rewrite": Limit(calls=2, frames=0.5),  # others remember its answers
    "qmgr": Limit(calls=21, frames=1.5),
    "virtual": Limit(calls=40, frames=1.5),
    "log": Limit(calls=39, frames=0.5),  # 7 for each of 5 lines, which seldom share a wake-up
}
RELAYING = {"outbound": Limit(calls=14, frames=1.5)}  # in a session that is kept


@pytest.mark.requires("strace")
def test_no_message_costs_more_than_its_budget(new_instance: NewInstance, short_path: Path) -> None:
    rows = {row: {"min_free": 1, "numprocs": 1} for row in RECEIVING if row not in ("qmgr", "log")}
    instance = new_instance(services=rows)
    _hold_to(RECEIVING, instance, "bob@posthouse.test", short_path)


@pytest.mark.requires("strace")
@pytest.mark.requires("smtp-sink")
def test_no_relayed_message_costs_more_than_its_budget(
    new_instance: NewInstance, short_path: Path
) -> None:
    port = free_port()
    instance = new_instance(
        {"relayhost": f"[127.0.0.1]:{port}", "smtp_connection_cache_time_limit": "60s"},
        services={"outbound": {"min_free": 1, "numprocs": 1}},
    )
    with SmtpSink(short_path / "sink", "127.0.0.1", port) as sink:
        _hold_to(RELAYING, instance, "bob@elsewhere.example", short_path)
        wait_until(lambda: sink.messages == WARMING + MESSAGES, "all messages at the sink")


def _hold_to(limits: Mapping[str, Limit], instance: Instance, recipient: str, folder: Path) -> None:
    """Send messages through a new instance, and hold its rows to their limits."""
    instance.start()
    pids = {row: instance.wait_ready(row)[0] for row in limits}
    with instance.smtp() as client, contextlib.ExitStack() as stack:
        client.greeted()
        _send(instance, client, recipient, range(WARMING))
        counters = {
            row: stack.enter_context(CallCounter(pid, folder / f"{row}.calls"))
            for row, pid in pids.items()
        }
        _send(instance, client, recipient, range(WARMING, WARMING + MESSAGES))
    costs = {row: counter.cost(MESSAGES) for row, counter in counters.items()}
    for row, cost in costs.items():
        print(f"{row}: {cost}")  # pytest shows it when a limit is broken
    assert costs[next(iter(limits))].frames >= 1, "nothing was counted"
    over = {row: str(cost) for row, cost in costs.items() if not _is_within(cost, limits[row])}
    assert not over


def _send(instance: Instance, client: Dialogue, recipient: str, numbers: range) -> None:
    """Send one message after the other, each when the last has left the queue."""
    for number in numbers:
        reply = client.mail("a@b.example", [recipient], message(f"{number}", 4000))
        queue_id = reply.text.split()[-1]
        path = instance.queue / "incoming" / queue_id[-1] / queue_id
        wait_until(functools.partial(_is_gone, path), f"the end of {queue_id}")


def _is_within(cost: Cost, limit: Limit) -> bool:
    return cost.steady_calls <= limit.calls and cost.frames <= limit.frames


def _is_gone(path: Path) -> bool:
    return not path.exists()
