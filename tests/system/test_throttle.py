"""A row that cannot run is tried again ever more rarely, said loudly, and comes back by itself."""

import itertools
import sys
from pathlib import Path

import pytest
from support.instance import Instance, NewInstance
from support.load import message
from support.waiting import wait_until

EXITS = "exit 3"
HANGS = "exec sleep 600"


def _script(path: Path, what: str) -> None:
    """A daemon's command that notes its start and then does as told, until it is repaired."""
    run = f"exec {sys.executable} -I -m mta.daemons.virtual"
    path.write_text(
        f"#!/bin/sh\ndate +%s.%N >>{path}.starts\n[ -e {path}.repaired ] && {run}\n{what}\n"
    )
    path.chmod(0o755)
    starts = Path(f"{path}.starts")
    starts.touch()
    starts.chmod(0o666)  # the row's user writes it


def _starts(path: Path) -> list[float]:
    return [float(line) for line in Path(f"{path}.starts").read_text().split()]


def _send(instance: Instance, mark: str) -> None:
    with instance.smtp() as client:
        client.greeted().mail("a@example.org", ["bob@posthouse.test"], message(mark))


@pytest.mark.parametrize("what", [EXITS, HANGS], ids=["exits at once", "hangs in check-in"])
def test_a_broken_command_is_throttled_and_recovers(new_instance: NewInstance, what: str) -> None:
    instance = new_instance({"service_checkin_time": "1s", "minimal_backoff_time": "1s"})
    script = instance.directory / "virtual"
    _script(script, what)
    instance.configure(services={"virtual": {"command": [str(script)], "numprocs": 1}})
    instance.start()
    _send(instance, "waits")
    wait_until(lambda: len(_starts(script)) >= 4, "four starts", 30.0)
    starts = _starts(script)
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    for pause, least in zip(pauses, (1.0, 2.0, 4.0), strict=False):
        assert pause >= least - 0.05, f"started again after {pause:.2f} s, before {least} s"
    row = instance.wait_service("virtual", state="throttled", timeout=5.0)
    assert row["throttled_until"] > starts[-1]
    assert row["last_exit"]
    assert instance.log_records("failed", service="master", row="virtual")
    Path(f"{script}.repaired").touch()
    instance.maildir("bob").wait(1, timeout=40.0)


def test_a_missing_command_is_throttled_and_recovers(new_instance: NewInstance) -> None:
    instance = new_instance({"minimal_backoff_time": "1s"})
    script = instance.directory / "virtual"
    instance.configure(services={"virtual": {"command": [str(script)], "numprocs": 1}})
    instance.start()
    _send(instance, "waits")
    row = instance.wait_service("virtual", state="throttled")
    assert str(script) in row["last_exit"]
    Path(f"{script}.repaired").touch()
    _script(script, EXITS)
    instance.maildir("bob").wait(1, timeout=40.0)
