"""Starting on demand, limits, throttling: a real supervisord and stub daemons."""

import contextlib
import itertools
import json
import os
import signal
import socket
import time

import pytest
from support.plugin_house import House, Row, connect, elapsed, greeting, inet
from support.waiting import wait_until


def test_the_first_client_starts_the_first_process(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)]))
    house.start()
    assert house.service("smtp")["state"] == "idle"
    assert house.stubs() == 0
    begun = time.monotonic()
    with connect(port) as client:
        assert greeting(client) == "smtp_000 1"
        assert elapsed(begun) < 2
        wait_until(lambda: house.service("smtp")["served"] == 1, "the counters")
        status = house.service("smtp")
    assert status["state"] == "running"
    assert (status["running"], status["clients"], status["spawned"]) == (1, 1, 1)
    assert status["listeners"] == [inet(port)]


def test_every_kind_of_listener_reaches_its_row(house: House, port: int) -> None:
    row = Row("smtp", [f"inet:[::1]:{port}", "unix:public/a", "ipc:private/b"], "serve 9")
    house.render(row)
    house.start()
    root = house.directory
    families = (
        (socket.AF_INET6, socket.SOCK_STREAM, ("::1", port)),
        (socket.AF_UNIX, socket.SOCK_STREAM, str(root / "public/a")),
        (socket.AF_UNIX, socket.SOCK_SEQPACKET, str(root / "private/b")),
    )
    for family, kind, address in families:
        with socket.socket(family, kind) as client:
            client.settimeout(10)
            client.connect(address)
            assert greeting(client) == "smtp_000 1"
    assert sorted(p.name for p in (root / "private").iterdir()) == ["b"]


def test_never_more_than_numprocs_and_the_limit_is_said_once(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)], "serve 2", numprocs=2))
    house.start()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(6)]
        assert {greeting(client) for client in clients[:4]} == {"smtp_000 1", "smtp_001 1"}
        house.wait_output("service smtp stands at its limit of 2 processes")
        assert house.stubs("smtp") == 2
        assert house.service("smtp")["running"] == 2
        clients[0].close()
        assert greeting(clients[4]).startswith("smtp_")
        assert house.output().count("stands at its limit") == 2  # its file and its stdout


def test_the_limit_reaches_the_mail_log(house: House, port: int) -> None:
    log = Row("log", ["pipe:log"], "serve 9", daemon="log", restart="always")
    house.render(log, Row("smtp", [inet(port)]))
    house.start()
    with connect(port) as first, connect(port):
        assert greeting(first) == "smtp_000 1"
        path = house.directory / "log"
        wait_until(lambda: path.exists() and "limit" in path.read_text(), "the record")
    record = next(r for r in map(json.loads, path.read_text().splitlines()) if "row" in r)
    assert record["event"] == "limit"
    assert record["service"] == "master"
    assert record["text"] == "service smtp stands at its limit of 1 process"


def test_min_free_keeps_one_ahead(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)], numprocs=2, min_free=1))
    house.start()
    wait_until(lambda: house.stubs("smtp") == 1, "the process ahead of demand")
    with connect(port) as client:
        assert greeting(client) == "smtp_000 1"
        wait_until(lambda: house.stubs("smtp") == 2, "the next one ahead")


def test_wakeup_starts_a_row_and_then_wakes_it(house: House) -> None:
    house.render(Row("pickup", ["unix:public/pickup"], daemon="pickup", wakeup=0.3))
    house.start()
    wait_until(lambda: len(house.trace("wake")) >= 2, "two wake-ups")
    assert len(house.trace("start")) == 1


def test_a_retired_process_is_replaced_by_the_next_client(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)], "serve 9 1"))
    house.start()
    with connect(port) as slow, connect(port) as next_client:
        assert greeting(slow) == "smtp_000 1"
        assert greeting(next_client) == "smtp_001 1"
        wait_until(lambda: house.service("smtp")["retiring"] == 2, "both to retire")
    wait_until(lambda: house.stubs("smtp") == 0, "their end")
    assert house.wait_state("smtp", "idle")["last_exit"] == "smtp_001: exit status 0" or (
        house.service("smtp")["last_exit"] == "smtp_000: exit status 0"
    )


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (Row("qmgr", behaviour="exit", restart="always"), "exit status 1 before it was ready"),
        (
            Row("qmgr", behaviour="hang", restart="always"),
            "terminated by SIGKILL before it was ready: it was not ready within 0.5 s",
        ),
        (
            Row("qmgr", command="./nothing", restart="always"),
            "can't find command './nothing'",
        ),
        (
            Row("qmgr", behaviour="babble", restart="always"),
            "breaks the pact, its channel is closed",
        ),
    ],
    ids=["exits at once", "hangs in check-in", "missing command", "babbles"],
)
def test_a_failing_row_is_throttled_reported_and_recovers(
    house: House, row: Row, complaint: str
) -> None:
    house.render(row, parameters={"service_checkin_time": 0.5, "service_throttle_time": 2})
    house.start()
    status = house.wait_state("qmgr", "throttled")
    assert status["throttled_until"] > time.time()
    assert status["last_exit"].startswith("qmgr_00")
    house.wait_output(complaint)
    house.wait_output("it is tried again in 1 s")
    house.wait_output("it is tried again in 2 s")
    starts = [start.time for start in house.trace("start")]
    for pause, (before, after) in zip((1, 2), itertools.pairwise(starts), strict=False):
        assert pause - 0.1 < after - before < pause + 1.5

    repaired = Row("qmgr", restart="always")
    house.render(repaired, generation=2, parameters={"service_throttle_time": 2})
    house.call("mta.reload", 2)
    assert house.wait_state("qmgr", "running")["throttled_until"] == 0


def test_a_stuck_listener_is_reported_and_gets_another_process(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)], "idle", numprocs=2, min_free=1))
    house.start()
    wait_until(lambda: house.stubs("smtp") == 1, "the process that only claims to be free")
    with connect(port):
        begun = time.monotonic()
        wait_until(lambda: house.stubs("smtp") == 2, "another process", 12)
        assert 4.5 < elapsed(begun) < 8
    house.wait_output("says that it is free, yet clients wait unserved for 5 s")


def test_a_crash_of_a_busy_daemon_costs_a_second(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)]))
    house.start()
    with connect(port) as client:
        assert greeting(client) == "smtp_000 1"
        (stub,) = house.trace("start")
        os.kill(stub.pid, signal.SIGKILL)
        house.wait_output("failed: smtp_000: terminated by SIGKILL; it is tried again in 1 s")
    with connect(port) as client:
        assert greeting(client).startswith("smtp_")
    assert 0.9 < house.trace("start")[1].time - stub.time < 4
