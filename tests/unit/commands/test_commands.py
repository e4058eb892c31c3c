"""The `mta` command: what it prints, what it leaves, and its exit statuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import RunMta
from support.configuration import SERVICES, ConfigurationFolder
from support.instance import separated
from support.master_double import MasterDouble, status_of

from mta.config.reference import parameters_reference

NO_CHANGES: dict[str, list[str]] = {
    key: [] for key in ("opened", "closed", "added", "removed", "retired")
}


def test_check_of_a_valid_configuration(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    assert run_mta("check").stdout == (
        "valid: profile hub, services "
        "log qmgr smtp pickup showq cleanup rewrite lookup resolver outbound lmtp virtual local "
        "mailuser bounce error discard\n"
    )
    assert not folder.queue.exists()


@pytest.mark.parametrize("command", ["check", "render", "start"])
def test_invalid_configuration_changes_nothing(
    run_mta: RunMta, folder: ConfigurationFolder, command: str
) -> None:
    folder.main("hopcount_limit: 0\nxyzzy: 1\n")
    result = run_mta(command, status=os.EX_CONFIG)
    assert result.stdout == ""
    prefix = "" if command == "check" else "mta: "  # an editor looks for a place in front
    assert result.stderr == (
        f"{prefix}main.yml:5:17: main.hopcount_limit: expected an integer of at least 1 and at "
        "most 1000, got 0\n"
        f'{prefix}main.yml:6:1: main.xyzzy: expected the name of a parameter, got "xyzzy"\n'
    )
    assert not folder.queue.exists()
    assert not folder.log.exists()


def test_render_makes_all_that_the_system_lives_in(
    run_mta: RunMta, folder: ConfigurationFolder
) -> None:
    assert run_mta("render").stdout == "generation 1: first generation\n"
    assert run_mta("render").stdout == "generation 1: nothing changed\n"
    folder.services(SERVICES.replace("2525", "2526"))
    assert json.loads(run_mta("render", "--json").stdout) == {
        "generation": 2,
        "changes": ["services changed: smtp"],
    }
    assert (folder.queue / "incoming").is_dir()
    assert (folder.log.stat().st_mode & 0o7777) == (0o1770 if separated() else 0o700)
    assert (folder.log / "master").stat().st_mode & 0o7777 == 0o700


def test_render_keeps_the_generation_that_is_in_force(
    run_mta: RunMta, folder: ConfigurationFolder
) -> None:
    run_mta("render")
    with MasterDouble(folder.queue, status=lambda: status_of(1)):
        for limit in range(1, 12):
            folder.main(f"hopcount_limit: {limit}\n")
            run_mta("render")
    assert (folder.queue / "config" / "1.json").exists()
    assert not (folder.queue / "config" / "2.json").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["status"], os.EX_UNAVAILABLE, "mta: not running in "),
        (["reload"], os.EX_UNAVAILABLE, "mta: not running in "),
        (["restart", "smtp"], os.EX_UNAVAILABLE, "mta: not running in "),
        (["probe"], os.EX_UNAVAILABLE, "mta: not running in "),
        (["restart"], os.EX_USAGE, "Missing argument 'SERVICE'"),
        (["statsu"], os.EX_USAGE, "No such command 'statsu'"),
        (["--bogus"], os.EX_USAGE, "No such option"),
    ],
)
def test_failures(run_mta: RunMta, arguments: list[str], status: int, text: str) -> None:
    result = run_mta(*arguments, status=status)
    assert result.stdout == ""
    assert text in result.stderr


def test_no_configuration_at_all(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    (folder.directory / "main.yml").unlink()
    result = run_mta("status", status=os.EX_CONFIG)
    assert result.stderr == (
        f"mta: {folder.directory}/main.yml: expected a file that can be read, got an error (No "
        "such file or directory); name the folder of main.yml and services.yml, or write them\n"
    )


def test_commands_work_while_the_configuration_is_edited(
    run_mta: RunMta, folder: ConfigurationFolder
) -> None:
    folder.main("half_written: [1, 2]\n")
    assert run_mta("stop").stdout == "not running\n"


def test_reload_renders_nothing_for_a_system_that_does_not_run(
    run_mta: RunMta, folder: ConfigurationFolder
) -> None:
    run_mta("reload", status=os.EX_UNAVAILABLE)
    assert not folder.queue.exists()


def test_reload_tells_what_it_did(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    run_mta("render")
    folder.services(SERVICES.replace("2525", "2526"))
    changes = {**NO_CHANGES, "opened": ["inet:127.0.0.1:2526"], "retired": ["smtp", "qmgr"]}
    with MasterDouble(
        folder.queue, status=lambda: status_of(1), reload=lambda _: changes
    ) as master:
        assert run_mta("reload").stdout == (
            "generation 2: services changed: smtp\n"
            "opened: inet:127.0.0.1:2526\n"
            "retired: smtp qmgr\n"
        )
        again = json.loads(run_mta("reload", "--json").stdout)
    assert again == {"generation": 2, **changes}
    assert master.calls.count(("reload", 2)) == 2


def test_check_tells_what_a_reload_would_do(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    run_mta("render")
    other = folder.log.parent / "elsewhere"
    text = (folder.directory / "main.yml").read_text().replace(str(folder.log), str(other))
    (folder.directory / "main.yml").write_text(text)
    with MasterDouble(folder.queue, status=lambda: status_of(1)):
        lines = run_mta("check").stdout.splitlines()
        found = json.loads(run_mta("check", "--json").stdout)
    assert lines[1:] == [
        "`mta reload` would change: parameters changed: log_file",
        "needs `mta stop` and `mta start`: the master keeps the log_file that it began with",
    ]
    assert found["changes"] == ["parameters changed: log_file"]


def test_status_is_a_table_and_for_programs_an_object(
    run_mta: RunMta, folder: ConfigurationFolder
) -> None:
    run_mta("render")
    status = status_of(3, log="running", smtp="idle", cleanup="throttled")
    with MasterDouble(folder.queue, status=lambda: status):
        text = run_mta("status").stdout
        assert json.loads(run_mta("status", "--json").stdout) == status
    lines = text.splitlines()
    assert lines[0] == "generation 3"
    assert lines[2].split()[:4] == ["service", "state", "processes", "retiring"]
    assert lines[3].split() == ["log", "running", "1/2", "0", "3", "7", "1", "ipc:private/log"]
    assert "cleanup: exit status 1; tried again in" in text
    assert "isolation: rootless\nsomething\n" in text
    assert "\x1b" not in text  # colour is for terminals


def test_start_of_a_running_system_does_nothing(
    run_mta: RunMta, folder: ConfigurationFolder
) -> None:
    run_mta("render")
    folder.main("hopcount_limit: 9\n")
    with MasterDouble(folder.queue, status=lambda: status_of(1, log="running")):
        assert run_mta("start").stdout == "already running, generation 1\n"
    assert not (folder.queue / "config" / "2.json").exists()


def test_start_of_a_system_that_is_stopping(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    run_mta("render")
    with MasterDouble(folder.queue, status=lambda: status_of(1, log="draining")):
        result = run_mta("start", status=os.EX_TEMPFAIL)
    assert "try again" in result.stderr


def test_reference_is_printed_or_written(run_mta: RunMta, tmp_path: Path) -> None:
    assert parameters_reference() in run_mta("reference").stdout
    run_mta("reference", str(tmp_path))
    assert (tmp_path / "parameters.md").read_text() == parameters_reference()


@pytest.mark.parametrize("command", ["status", "queue"])
def test_quick_commands_import_little(folder: ConfigurationFolder, command: str) -> None:
    script = (
        "import sys; from click.testing import CliRunner; from mta.commands.main import mta;"
        "CliRunner().invoke(mta, sys.argv[1:]); print(*sys.modules)"
    )
    arguments = [sys.executable, "-I", "-c", script, "-c", str(folder.directory), command]
    modules = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()
    assert f"mta.commands.{command}" in modules
    assert not {"jinja2", "rich", "smtplib", "supervisor", "asyncio"} & set(modules)


def test_generation_in_force_that_is_damaged(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    run_mta("render")
    (folder.queue / "config" / "1.json").write_text("{")
    with MasterDouble(folder.queue, status=lambda: status_of(1)):
        result = run_mta("check", status=os.EX_CONFIG)
        (fault,) = json.loads(run_mta("check", "--json", status=os.EX_CONFIG).stdout)["host"]
    assert fault["found"].startswith(f"{folder.queue}/config/1.json: ")
    assert f"got {fault['found']}\n" in result.stderr
    assert "run `mta render`" in result.stderr
