"""`mta start` and `mta stop` with a real supervisord."""

import os
import signal
import socket
import subprocess
import sys
import time

from support.instance import Instance, NewInstance
from support.waiting import wait_until

from mta.commands.control import Control
from mta.commands.failure import NotRunningError


def _answers(instance: Instance) -> bool:
    try:
        Control(str(instance.queue)).status()
    except NotRunningError:
        return False
    return True


def test_start_and_stop_twice(new_instance: NewInstance) -> None:
    instance = new_instance()
    assert instance.mta("start").stdout == "running; generation 1: first generation\n"
    assert instance.service("qmgr")["state"] == "running"
    assert instance.mta("start").stdout == "already running, generation 1\n"
    assert instance.mta("stop").stdout == "stopped\n"
    assert instance.processes() == []
    assert instance.mta("stop").stdout == "not running\n"


def test_start_passes_nothing_on(new_instance: NewInstance) -> None:
    """Neither variables nor descriptors of the caller reach the master."""
    instance = new_instance()
    reader, writer = os.pipe()
    with open(reader, "rb") as end:
        subprocess.run(
            [sys.executable, "-I", "-m", "mta.commands", "-c", str(instance.config), "start"],
            env={"SECRET": "x", "PATH": "/nowhere", "TZ": "UTC"},
            pass_fds=[writer],
            check=True,
            capture_output=True,
            timeout=60,
        )
        os.close(writer)
        assert end.read() == b""  # the end of file: nobody else holds the pipe
    pid = instance.supervisord.pid
    with open(f"/proc/{pid}/environ", "rb") as file:
        names = {entry.split(b"=")[0] for entry in file.read().split(b"\0") if entry}
    assert names == {b"PATH", b"LANG", b"TZ"}
    assert os.getsid(pid) == pid


def test_start_that_fails_shows_the_masters_last_words(new_instance: NewInstance) -> None:
    instance = new_instance()
    with socket.create_server(("127.0.0.1", instance.port)):
        failed = instance.mta("start", succeeds=False)
    assert failed.returncode == os.EX_UNAVAILABLE
    assert "the master ended with status" in failed.stderr
    assert f"inet:127.0.0.1:{instance.port}" in failed.stderr
    assert instance.processes() == []


def test_foreground_becomes_the_master(new_instance: NewInstance) -> None:
    instance = new_instance()
    command = [sys.executable, "-I", "-m", "mta.commands", "-c", str(instance.config)]
    with subprocess.Popen([*command, "start", "--foreground"]) as master:
        wait_until(lambda: _answers(instance), "the master's answer", 20)
        assert instance.supervisord.pid == master.pid
        instance.stop()
        assert master.wait(10) == 0


def test_stop_of_a_master_that_does_not_answer(new_instance: NewInstance) -> None:
    """Its socket is gone, its lock is not: `mta stop` still finds it."""
    instance = new_instance()
    instance.start()
    (instance.queue / "pid" / "supervisor.sock").unlink()
    assert instance.mta("stop").stdout == "stopped\n"
    assert instance.processes() == []


def test_start_after_the_master_was_killed(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.start()
    os.kill(instance.supervisord.pid, signal.SIGKILL)
    begun = time.monotonic()
    instance.start()
    assert time.monotonic() - begun < 20
    assert instance.service("qmgr")["state"] == "running"
