"""The staged stop, stage by stage, on a given clock."""

import signal

import pytest

from mta.master.channel import Crossing
from mta.master.plugin.actions import Kill, Tell
from mta.master.plugin.drain import Drain
from mta.master.plugin.pool import Pool, Times
from mta.master.plugin.table import Row
from mta.util.house import Stage, stage_of
from mta.util.listen import parse_listen


def row(name: str, daemon: str, listen: str) -> Row:
    return Row(name, daemon, (parse_listen(listen),), "", 1, 0, "always", 0.0)


ROWS = {
    "smtp": row("smtp", "smtpd", "inet:127.0.0.1:25"),
    "qmgr": row("qmgr", "qmgr", "ipc:public/qmgr"),
    "virtual": row("virtual", "virtual", "ipc:private/virtual"),
    "cleanup": row("cleanup", "cleanup", "ipc:private/cleanup"),
    "log": row("log", "log", "pipe:log"),
}


def house() -> dict[str, Pool]:
    pools = {name: Pool(row, Times(10, 60), 0) for name, row in ROWS.items()}
    for name, pool in pools.items():
        pool.spawned(name, 0)
        pool.heard(name, Crossing("free"), 0)
    return pools


@pytest.mark.parametrize(
    ("daemon", "listen", "stage"),
    [
        ("smtpd", "unix:public/smtp", Stage.DOOR),
        ("postscreen", "unix:public/smtp", Stage.DOOR),
        ("pickup", "unix:public/pickup", Stage.DOOR),
        ("mine", "inet:127.0.0.1:26", Stage.DOOR),
        ("qmgr", "ipc:public/qmgr", Stage.SCHEDULER),
        ("lmtp", "ipc:private/lmtp", Stage.AGENTS),
        ("rewrite", "ipc:private/rewrite", Stage.SERVICES),
        ("log", "pipe:log", Stage.LOG),
    ],
)
def test_who_ends_when(daemon: str, listen: str, stage: Stage) -> None:
    assert stage_of(daemon, [parse_listen(listen)]) is stage


def test_each_stage_waits_for_the_one_before() -> None:
    pools, drain = house(), Drain()
    for name in ("smtp", "qmgr", "virtual", "cleanup"):
        orders = drain.step(pools, 1)
        told = [action for _, actions in orders for action in actions]
        assert told == [Tell(name, "retire"), Tell(name, "expire")]
        assert drain.step(pools, 2) == []
        assert not drain.finished
        pools[name].exited(name, 0, "exit status 0", 2)
    assert drain.step(pools, 3) == []
    assert drain.finished
    assert not pools["log"].closed


def test_a_stage_is_bounded_and_what_is_left_gets_sigterm() -> None:
    pools, drain = house(), Drain()
    drain.step(pools, 0)
    assert drain.deadline == 10
    assert drain.step(pools, 9.9) == []
    orders = drain.step(pools, 10)
    assert [pool.row.name for pool, _ in orders] == ["smtp", "qmgr"]
    assert Kill("smtp", signal.SIGTERM) in orders[0][1]


def test_an_empty_house_is_finished_at_once() -> None:
    drain = Drain()
    assert drain.step({}, 0) == []
    assert drain.finished
