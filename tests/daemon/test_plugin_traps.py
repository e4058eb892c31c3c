"""The traps of living inside supervisord, each sprung on purpose."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support.plugin_house import House, Row, connect, greeting, inet
from support.ports import free_port
from support.tracing import Trace
from support.waiting import wait_until


def test_an_exception_in_a_pass_is_logged_and_survived(house: House, port: int) -> None:
    (house.directory / "saboteur.py").write_text(
        textwrap.dedent("""
        from mta.master.plugin.pool import Pool
        decide = Pool.decide
        def fail_once(self, now):
            Pool.decide = decide
            raise RuntimeError("sabotage")
        Pool.decide = fail_once
        def make(supervisord):
            return object()
        """)
    )
    sabotage = "[rpcinterface:saboteur]\nsupervisor.rpcinterface_factory = saboteur:make"
    house.render(Row("smtp", [inet(port)]), extra=sabotage)
    house.start(python_path=house.directory)
    house.wait_output("RuntimeError: sabotage")
    with connect(port) as client:
        assert greeting(client) == "smtp_000 1"
    assert "a pass failed" in house.output()


def test_nothing_starts_while_supervisor_stops(house: House, port: int) -> None:
    house.render(
        Row("smtp", [inet(port)]),
        Row("slow", ["unix:public/slow"], "idle", restart="always"),
    )
    house.start()
    house.wait_state("slow", "running")
    house.signal(signal.SIGTERM)
    house.wait_output("draining")
    house.signal(signal.SIGTERM)
    with contextlib.suppress(OSError):
        connect(port).close()
    house.wait_end()
    assert [start.process for start in house.trace("start")] == ["slow_000"]


def test_two_http_sections_make_one_master(house: House, port: int) -> None:
    second = f"[inet_http_server]\nport=127.0.0.1:{free_port()}"
    house.render(Row("smtp", [inet(port)]), extra=second)
    house.start()
    with connect(port) as client:
        assert greeting(client) == "smtp_000 1"
    assert len(house.status()["services"]) == 1


def test_restart_and_update_are_refused_and_name_the_way_out(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)]))
    house.start()
    assert "mta reload" in house.fault("supervisor.restart")
    assert "mta reload" in house.fault("supervisor.reloadConfig")
    assert "mta reload" in house.fault("supervisor.addProcessGroup", "smtp")
    assert "mta reload" in house.fault("supervisor.removeProcessGroup", "smtp")
    for word in ("update", "reload"):
        url = f"unix:///proc/{house.pid}/cwd/pid/supervisor.sock"
        answer = subprocess.run(
            [sys.executable, "-I", "-m", "supervisor.supervisorctl", "-s", url, word],
            input=b"y\n",
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert b"mta reload" in answer.stdout + answer.stderr
    with connect(port) as client:
        assert greeting(client) == "smtp_000 1"


def test_a_stopped_row_stays_stopped_until_it_is_started(house: House, port: int) -> None:
    resident = Row("qmgr", ["ipc:public/qmgr"], daemon="qmgr", restart="always")
    house.render(Row("smtp", [inet(port)]), resident)
    house.start()
    house.wait_state("qmgr", "running")
    assert house.call("supervisor.stopProcess", "qmgr:qmgr_000") is True
    house.call("supervisor.stopProcessGroup", "smtp")  # although it has no process
    assert house.wait_state("smtp", "stopped")["running"] == 0
    with connect(port) as client:
        client.settimeout(1.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert house.stubs() == 0
        assert house.service("qmgr")["state"] == "stopped"
        house.call("supervisor.startProcessGroup", "smtp")
        client.settimeout(10)
        assert greeting(client) == "smtp_000 1"
    assert house.call("supervisor.startProcess", "qmgr:qmgr_000") is True
    house.wait_state("qmgr", "running")
    assert "has no room" in house.fault("supervisor.startProcess", "qmgr:qmgr_001")


def test_a_killed_master_leaves_no_orphans_and_can_come_back(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)], "serve 5"))
    house.start()
    with connect(port) as client:
        assert greeting(client) == "smtp_000 1"
        house.signal(signal.SIGKILL)
        house.wait_end()
        house.start()  # at once: the port may still be held by the child
        wait_until(lambda: house.trace("orphan"), "the child to see the end of its channel")
    with connect(port) as client:
        assert greeting(client) == "smtp_000 1"


def test_a_port_that_is_held_for_a_moment_is_waited_for(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)]))
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        house.supervisord = house.launch()
        lock = house.directory / "pid/master.lock"
        wait_until(lambda: lock.exists() and lock.read_text(), "the lock")
        time.sleep(0.3)  # it is now trying to bind
        assert house.supervisord.poll() is None
    wait_until(house.answers, "supervisord's answer")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("nodaemon=false", "nodaemon must be true"),
        (f"nodaemon=true\nuser={os.getuid()}", "user must not be set"),
    ],
    ids=["nodaemon", "user"],
)
def test_what_cannot_work_is_refused_at_once(house: House, setting: str, complaint: str) -> None:
    house.render(Row("smtp", ["unix:public/smtp"]), supervisord=setting)
    assert house.launch().wait(10) == 2
    assert complaint in house.output()


def test_a_long_folder_name_works(short_path: Path, port: int) -> None:
    long = House(short_path / ("d" * 200) / "queue")
    try:
        long.render(Row("cleanup", ["unix:private/cleanup"], daemon="cleanup"))
        long.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(f"/proc/{long.pid}/cwd/private/cleanup")
            assert client.recv(100) == b"cleanup_000 1\n"
    finally:
        long.close()


def test_sockets_of_systemd_are_adopted(house: House, port: int) -> None:
    house.render(Row("smtp", [inet(port)]))
    with socket.socket() as inherited:
        inherited.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        inherited.bind(("127.0.0.1", port))
        inherited.listen()
        with connect(port) as early:  # before there is a master
            house.start(inherit=inherited)
            assert greeting(early) == "smtp_000 1"


@pytest.mark.requires("strace")
def test_a_house_of_a_hundred_processes_idles(house: House, short_path: Path) -> None:
    """Supervisor looks up once a second; a turn of its loop costs as few calls as for one row."""
    rows = [
        Row(f"row{n}", [f"unix:public/row{n}"], "idle", daemon="cleanup", restart="always")
        for n in range(100)
    ]
    house.render(*rows)
    house.start()
    wait_until(lambda: len(house.trace("start")) == 100, "all of them", 30)
    with Trace(house.pid, short_path / "trace", "all") as trace:
        wait_until(lambda: sum(it.text.startswith("poll(") for it in trace.calls()) >= 5, "5 turns")
        calls = [call.text.partition("(")[0] for call in trace.calls()]
    turns = " ".join(calls).split("poll")[1:-1]  # between two polls
    assert max(len(turn.split()) for turn in turns) <= 5, turns
