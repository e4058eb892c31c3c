"""Reload, restart and the staged stop: nobody is refused, and everything ends."""

import contextlib
import os
import signal
import socket
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from support.plugin_house import House, Row, connect, elapsed, greeting, inet
from support.ports import free_port
from support.waiting import wait_until


def _has_lines(path: Path, count: int) -> bool:
    return path.exists() and len(path.read_text().splitlines()) == count


def test_a_held_client_does_not_keep_the_new_generation_from_serving(
    house: House, port: int
) -> None:
    row = Row("smtp", [inet(port)], "serve 5")
    house.render(row)
    house.start()
    with connect(port) as held:
        assert greeting(held) == "smtp_000 1"
        house.render(row, generation=2)
        changes = house.call("mta.reload", 2)
        assert changes == {
            "opened": [],
            "closed": [],
            "added": [],
            "removed": [],
            "retired": ["smtp"],
        }
        begun = time.monotonic()
        with connect(port) as fresh:
            assert greeting(fresh) == "smtp_001 2"
        assert elapsed(begun) < 1
        assert house.status()["generation"] == 2
        held.settimeout(0.1)
        with pytest.raises(TimeoutError):  # neither closed nor spoken to
            held.recv(1)


def test_the_same_generation_again_changes_nothing(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)], min_free=1))
    house.start()
    wait_until(lambda: house.stubs("smtp"), "the process ahead of demand")
    assert not any(house.call("mta.reload", 1).values())
    assert house.trace("retire") == []


def test_addresses_and_rows_come_and_go(house: House, port: int) -> None:
    other = free_port()
    gone = Row("gone", ["unix:public/gone"], restart="always")
    house.render(Row("smtp", [inet(port)]), gone)
    house.start()
    wait_until(lambda: house.service("gone")["state"] == "running", "the resident row")
    house.render(
        Row("smtp", [inet(other), "unix:public/here"], numprocs=2),
        Row("new", ["ipc:private/new"], restart="always", numprocs=2),
        generation=2,
    )
    changes = house.call("mta.reload", 2)
    assert changes["opened"] == [inet(other), "unix:public/here", "ipc:private/new"]
    assert changes["closed"] == [inet(port), "unix:public/gone"]
    assert (changes["added"], changes["removed"]) == (["new"], ["gone"])
    with connect(other) as client:
        assert greeting(client).endswith(" 2")
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    assert not (house.directory / "public/gone").exists()
    wait_until(lambda: house.stubs("new") == 2, "the new resident row")
    wait_until(lambda: len(house.status()["services"]) == 2, "the old row to be gone")
    assert house.stubs("gone") == 0


def test_a_reload_that_cannot_be_had_changes_nothing(house: House, port: int) -> None:
    row = Row("smtp", [inet(port)], "serve 5", min_free=1)
    house.render(row)
    house.start()
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        taken = foreign.getsockname()[1]
        house.render(Row("smtp", [inet(port), "unix:public/new", inet(taken)]), generation=2)
        sentence = house.fault("mta.reload", 2)
    assert f"inet:127.0.0.1:{taken}: Address already in use" in sentence
    assert f"held by {os.getpid()} " in sentence
    assert "config/3.json" in house.fault("mta.reload", 3)
    assert list((house.directory / "public").iterdir()) == []
    assert house.status()["generation"] == 1
    assert house.trace("retire") == []
    with connect(port) as client:
        assert greeting(client) == "smtp_000 1"


def test_no_connection_is_refused_under_load(house: House, port: int) -> None:
    rows = {g: Row("smtp", [inet(port)], "serve 3", numprocs=2) for g in range(1, 5)}
    house.render(rows[1])
    house.start()
    stop = threading.Event()
    greeted: list[str] = []
    failures: list[Exception] = []

    def load() -> None:
        while not stop.is_set():
            try:
                with connect(port) as client:
                    greeted.append(greeting(client).split()[1])
            except (OSError, IndexError) as error:
                failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for generation in (1, 2, 3, 4):
            house.render(rows[generation], generation=generation)
            house.call("mta.reload", generation)
            wait_until(partial(greeted.count, str(generation)), "the new generation's greeting")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(greeted) == {"1", "2", "3", "4"}


def test_a_resident_without_inet_listeners_is_never_doubled(house: House) -> None:
    row = Row("qmgr", ["ipc:public/qmgr"], daemon="qmgr", restart="always")
    house.render(row)
    house.start()
    house.wait_state("qmgr", "running")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(house.directory / "public/qmgr"))
        assert client.recv(100) == b"qmgr_000 1\n"
        house.render(row, generation=2)
        house.call("mta.reload", 2)
        wait_until(lambda: house.trace("retire"), "the old one to be told")
        assert house.stubs("qmgr") == 1
    wait_until(lambda: len(house.trace("start")) == 2, "the successor")
    assert house.wait_state("qmgr", "running")["running"] == 1
    assert "failed" not in house.output()


def test_restart_replaces_the_processes_of_one_row(house: House) -> None:
    house.render(Row("rewrite", ["ipc:private/rewrite"], restart="always"))
    house.start()
    house.wait_state("rewrite", "running")
    assert house.call("mta.restart", "rewrite") is True
    wait_until(lambda: len(house.trace("start")) == 2, "the successor")
    assert "has no row nothing" in house.fault("mta.restart", "nothing")


def test_quick_reloads_make_retirees_hurry_when_slots_run_out(house: House, port: int) -> None:
    row = Row("smtp", [inet(port)], "serve 5")
    house.render(row)
    house.start()
    with contextlib.ExitStack() as stack:
        for generation in (2, 3):
            held = stack.enter_context(connect(port))
            assert greeting(held).endswith(str(generation - 1))
            house.render(row, generation=generation)
            house.call("mta.reload", generation)
        with connect(port) as fresh:
            assert greeting(fresh).endswith(" 3")
    house.wait_output("service smtp has no slot for a new process")


def test_stop_drains_stage_by_stage(house: House, port: int) -> None:
    house.render(
        Row("log", ["pipe:log"], daemon="log", restart="always"),
        Row("qmgr", ["ipc:public/qmgr"], daemon="qmgr", restart="always"),
        Row("virtual", ["ipc:private/virtual"], daemon="virtual", restart="always"),
        Row("cleanup", ["ipc:private/cleanup"], daemon="cleanup", restart="always"),
        Row("smtp", [inet(port)], "serve 5"),
    )
    house.start()
    with connect(port) as client:
        assert greeting(client) == "smtp_000 1"
        wait_until(lambda: house.stubs() == 5, "all rows")
        assert house.call("mta.stop") is True
        assert client.recv(10) == b""  # told to expire
        assert house.wait_end() == 0
    order = [told.process.partition("_")[0] for told in house.trace("retire")]
    assert order == ["smtp", "qmgr", "virtual", "cleanup"]
    assert house.stubs() == 0
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    assert list((house.directory / "private").iterdir()) == []


def test_on_demand_rows_still_start_while_an_earlier_stage_drains(house: House, port: int) -> None:
    house.render(
        Row("smtp", [inet(port)], "idle", min_free=1),  # does not obey: 10 s, then SIGTERM
        Row("cleanup", ["unix:private/cleanup"], daemon="cleanup"),
    )
    house.start()
    wait_until(lambda: house.stubs("smtp") == 1, "the stubborn process")
    house.call("mta.stop")
    wait_until(lambda: house.service("smtp")["state"] == "draining", "the first stage")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(house.directory / "private/cleanup"))
        assert client.recv(100) == b"cleanup_000 1\n"
    assert "the master is stopping" in house.fault("mta.reload", 2)
    house.signal(signal.SIGTERM)  # a second wish to end is Supervisor's: no more patience
    house.signal(signal.SIGTERM)
    begun = time.monotonic()
    house.wait_end()
    assert elapsed(begun) < 8
    assert house.stubs() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_the_first_ending_signal_drains(house: House, number: signal.Signals) -> None:
    house.render(Row("cleanup", ["ipc:private/cleanup"], daemon="cleanup", restart="always"))
    house.start()
    house.wait_state("cleanup", "running")
    house.signal(number)
    assert house.wait_end() == 0
    assert len(house.trace("retire")) == 1
    assert f"received {number.name}: draining" in house.output()


def test_sighup_runs_the_reload_program_and_keeps_every_listener(house: House, port: int) -> None:
    reload_program = f"""
[program:reload_]
command=/bin/sh -c "echo reloaded >> {house.directory}/reloads; exec sleep 0.2"
autostart=false
autorestart=false
startsecs=0
"""
    house.render(Row("smtp", [inet(port)], "serve 5"), extra=reload_program)
    house.start()
    with connect(port) as held:
        assert greeting(held) == "smtp_000 1"
        path = house.directory / "reloads"
        for count in (1, 2):  # the second comes while the first runs, perhaps
            house.signal(signal.SIGHUP)
            wait_until(partial(_has_lines, path, count), "the reload program")
        with connect(port) as client:
            assert greeting(client) == "smtp_000 1"
    assert [s.process for s in house.trace("start")] == ["smtp_000"]
