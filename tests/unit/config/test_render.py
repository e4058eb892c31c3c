"""supervisord.conf as Supervisor itself understands it."""

import json
import os
import pwd
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions
from support.configuration import SERVICES, ConfigurationFolder

import mta.config.render
from mta.config.generations import GenerationFolder
from mta.config.write import write_generation


def read_by_supervisor(
    folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch
) -> ServerOptions:
    """Render, and let Supervisor parse the file as `supervisord -c` does."""
    (folder.queue / "config").mkdir(parents=True, exist_ok=True)
    (folder.queue / "pid").mkdir(exist_ok=True)
    (folder.log / "master").mkdir(parents=True, exist_ok=True)
    with GenerationFolder(str(folder.queue)).locked() as locked:
        write_generation(locked, folder.compile(), 0.0)
    monkeypatch.chdir(folder.queue)
    options = ServerOptions()
    options.realize(["-c", str(folder.queue / "config" / "supervisord.conf")])
    assert options.parse_warnings == []
    return options


def programs(options: ServerOptions) -> dict[str, Any]:
    return {group.name: group for group in options.process_group_configs}


def test_the_master_itself(folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    options = read_by_supervisor(folder, monkeypatch)
    assert options.nodaemon is True
    assert options.configroot.supervisord.user is None
    assert options.pidfile == str(folder.queue / "pid" / "supervisord.pid")
    assert options.logfile == str(folder.log / "master" / "supervisord.log")
    (server,) = options.server_configs
    assert server["file"] == str(folder.queue / "pid" / "supervisor.sock")
    assert server["chmod"] == 0o700
    factories = {name: settings for name, _, settings in options.rpcinterface_factories}
    assert factories == {"supervisor": {}, "mta": {"generation": "1"}}


def test_rows_are_programs(folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    found = programs(read_by_supervisor(folder, monkeypatch))
    agents = {"virtual", "local", "outbound", "lmtp", "error", "discard"}
    services = {"log", "qmgr", "smtp", "cleanup", "rewrite", "lookup", "resolver", "bounce"}
    assert set(found) == {*services, "mailuser", "pickup", "showq", *agents, "reload_"}
    slots = found["smtp"].process_configs
    assert [slot.name for slot in slots] == [f"smtp_{number:03d}" for number in range(20)]
    slot = slots[0]
    assert slot.command == f"{sys.executable} -I -m mta.daemons.smtpd"
    assert slot.directory == str(folder.queue)
    assert (slot.umask, slot.environment) == (0o077, {})
    assert slot.uid == (pwd.getpwnam("mtanet").pw_uid if os.geteuid() == 0 else None)
    assert (slot.startsecs, slot.startretries, slot.exitcodes) == (0, 0, [0])
    assert slot.stdout_logfile is None
    assert slot.stderr_logfile == str(folder.log / "master" / "crash-smtp.log")


def test_the_master_starts_resident_rows_and_the_plugin_the_others(
    folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = programs(read_by_supervisor(folder, monkeypatch))
    resident = {name for name, group in found.items() if group.process_configs[0].autostart}
    assert resident == {"log", "qmgr"}
    assert {name for name, group in found.items() if group.process_configs[0].autorestart} == (
        resident
    )


def test_supervisor_ends_programs_in_the_order_of_the_drain(
    folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Highest priority first: no mail in, then the scheduler, the agents, the rest, the log."""
    groups = sorted(read_by_supervisor(folder, monkeypatch).process_group_configs, reverse=True)
    order = [group.name for group in groups if group.name != "reload_"]
    assert order[:3] == ["smtp", "pickup", "qmgr"]
    assert set(order[3:7]) == {"virtual", "local", "outbound", "lmtp"}
    assert order[-1] == "log"


def test_sighup_runs_mta_reload(
    folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (slot,) = programs(read_by_supervisor(folder, monkeypatch))["reload_"].process_configs
    expected = [sys.executable, "-I", "-m", "mta.commands", "-c", str(folder.directory), "reload"]
    assert shlex.split(slot.command) == expected
    assert slot.autostart is False


@pytest.mark.parametrize(
    "name", ["with blank", "100%", "%s%d%%", "a;b#c", "it's", 'a "quote"', "$HOME", "ünïcode"]
)
def test_names_of_folders_mean_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place = tmp_path / name
    place.mkdir()
    folder = ConfigurationFolder(place)
    options = read_by_supervisor(folder, monkeypatch)
    assert options.logfile == str(folder.log / "master" / "supervisord.log")
    assert options.directory == str(folder.queue)
    found = programs(options)
    slot = found["smtp"].process_configs[0]
    assert slot.directory == str(folder.queue)
    assert slot.stderr_logfile == str(folder.log / "master" / "crash-smtp.log")
    assert str(folder.directory) in shlex.split(found["reload_"].process_configs[0].command)


@pytest.mark.parametrize("name", ["a ;b", "a #b", "%(here)s", "end "])
def test_names_that_supervisor_cannot_read_are_refused(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    folder = ConfigurationFolder(place)
    text = (folder.directory / "main.yml").read_text().replace(f"{folder.queue}", f"{place}")
    (folder.directory / "main.yml").write_text(text)
    assert any(
        problem.startswith(
            "main.yml:1:18: main.queue_directory: expected text without control characters, "
            '"%(", or a blank at an end or before ";" or "#"'
        )
        for problem in folder.problems()
    )


def test_long_folder_names_leave_room_for_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address has 107 octets at most; the master and its clients live in the queue."""
    place = tmp_path / ("x" * 200)
    place.mkdir()
    (server,) = read_by_supervisor(ConfigurationFolder(place), monkeypatch).server_configs
    assert server["file"] == "/proc/self/cwd/pid/supervisor.sock"


def test_command_of_a_row_replaces_the_daemon(
    folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["/opt/my agent/run", "--flag=50%", "it's", "%s", "*"]
    folder.services(SERVICES + f"  virtual: {{command: {json.dumps(command)}}}\n")
    slot = programs(read_by_supervisor(folder, monkeypatch))["virtual"].process_configs[0]
    assert shlex.split(slot.command) == command


def test_users_are_changed_by_root_alone(
    folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.services(SERVICES.replace("}", ", user: nobody}"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # whether the users exist is another question
    configuration = folder.compile()
    for uid, line in ((0, True), (1000, False)):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        text = mta.config.render.render_supervisord(configuration, 1)
        assert ("user=nobody\n" in text) == line
