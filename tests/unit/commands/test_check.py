"""`mta check`: what it says to people and to programs, and that nothing else comes of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.commands import RunMta
from support.configuration import SERVICES, ConfigurationFolder
from support.master_double import MasterDouble, status_of

from mta.commands.main import mta

QUIET = "virtual_mailbox_domains: [posthouse.test]\n"
OPEN = "mynetworks: [0.0.0.0/0]\n"
EVERYWHERE = "profile: hub\n"


def found(run_mta: RunMta, *arguments: str, status: int = 0) -> dict[str, Any]:
    objects: dict[str, Any] = json.loads(
        run_mta("check", "--json", *arguments, status=status).stdout
    )
    return objects


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_valid_configuration(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    folder.main(QUIET)
    assert found(run_mta) == {
        "errors": [],
        "warnings": [],
        "changes": [],
        "needs_restart": [],
        "host": [],
    }
    assert run_mta("check").stderr == ""


def test_errors_are_objects_for_programs(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    folder.main(f"{QUIET}mesage_size_limit: 5000\n")
    assert found(run_mta, status=os.EX_CONFIG)["errors"] == [
        {
            "file": "main.yml",
            "line": 6,
            "column": 1,
            "name": "main.mesage_size_limit",
            "expected": "the name of a parameter",
            "found": '"mesage_size_limit"',
            "suggestion": 'did you mean "message_size_limit"?',
            "session": [],
        }
    ]


def test_warnings_alone_are_no_failure(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    folder.main(f"{QUIET}queue_minfree: 1\n")
    result = run_mta("check")
    assert result.stderr.startswith("main.yml:6:16: warning: main.queue_minfree: expected ")
    assert result.stdout.startswith("valid: profile hub")
    (warning,) = found(run_mta)["warnings"]
    assert (warning["name"], warning["found"]) == ("main.queue_minfree", "1")
    folder.main(f"{QUIET}queue_minfree: 1\nhopcount_limit: 0\n")
    both = found(run_mta, status=os.EX_CONFIG)
    assert [len(both["errors"]), len(both["warnings"])] == [1, 1]


def test_an_open_relay_is_an_error_with_its_proof(
    run_mta: RunMta, folder: ConfigurationFolder
) -> None:
    folder.main(QUIET + OPEN)
    folder.services(EVERYWHERE)
    (error,) = found(run_mta, status=os.EX_CONFIG)["errors"]
    assert error["session"][0] == "A stranger at [1.0.0.1] connects to inet:0.0.0.0:25:"
    assert "S: 250 2.0.0 Ok: queued as QUEUE-ID" in error["session"]
    lines = run_mta("check", status=os.EX_CONFIG).stderr.splitlines()
    assert [line.removeprefix("main.yml:6:13: ") for line in lines[1:]] == error["session"]
    for command in ("render", "start"):
        refused = run_mta(command, status=os.EX_CONFIG).stderr.splitlines()
        assert refused == [f"mta: {line}" for line in lines]
    assert not folder.queue.exists()


@pytest.mark.parametrize(
    ("main", "services"),
    [
        (OPEN, EVERYWHERE),
        ("hopcount_limit: 0\n", SERVICES),
        ("smtpd_tls_security_level: may\n", SERVICES),
        ("&a\n", SERVICES),
        ("", "profile: hubb\n"),
        ("", SERVICES.replace("2525", "x")),
        ("", SERVICES + "  qmgr: {numprocs: 2}\n"),
        ("", SERVICES + '  other: {daemon: smtpd, listen: ["inet:0.0.0.0:2525"]}\n'),
    ],
)
def test_what_it_refuses_is_never_put_live(
    run_mta: RunMta, folder: ConfigurationFolder, main: str, services: str
) -> None:
    run_mta("render")
    before = contents(folder.queue)
    folder.main(main)
    folder.services(services)
    errors = run_mta("check", status=os.EX_CONFIG).stderr
    for command in ("render", "start"):
        refused = run_mta(command, status=os.EX_CONFIG)
        assert refused.stderr.replace("mta: ", "") == errors
    assert contents(folder.queue) == before
    with MasterDouble(folder.queue, status=lambda: status_of(1)) as master:
        run_mta("reload", status=os.EX_CONFIG)
        assert {name for name, *_ in master.calls} <= {"status"}
    assert sorted(path.name for path in (folder.queue / "config").iterdir()) == [
        "1.json",
        "1.origin.json",
        "supervisord.conf",
    ]


def test_colour_is_for_terminals(folder: ConfigurationFolder) -> None:
    folder.main(f"{QUIET}hopcount_limit: 0\nqueue_minfree: 1\n")
    arguments = ["-c", str(folder.directory), "check"]
    on_terminal = CliRunner().invoke(mta, arguments, color=True).stderr.splitlines()
    assert [line[:5] for line in on_terminal] == ["\x1b[31m", "\x1b[33m"]
    assert "\x1b" not in CliRunner().invoke(mta, arguments).stderr


def test_a_candidate_beside_the_system(
    run_mta: RunMta, folder: ConfigurationFolder, tmp_path: Path
) -> None:
    candidate = ConfigurationFolder(tmp_path)
    candidate.main("hopcount_limit: 0\n")
    assert (
        "main.hopcount_limit"
        in run_mta("check", str(candidate.directory), status=os.EX_CONFIG).stderr
    )
    candidate.main(QUIET)
    folder.main("hopcount_limit: 0\n")
    run_mta("check", str(candidate.directory))
    run_mta("check", str(tmp_path / "nowhere"), status=os.EX_CONFIG)


def test_a_candidate_is_compared_with_the_system_of_its_queue(
    run_mta: RunMta, folder: ConfigurationFolder, tmp_path: Path
) -> None:
    run_mta("render")
    shutil.copytree(folder.directory, tmp_path / "candidate")
    (tmp_path / "candidate" / "services.yml").write_text(SERVICES.replace("2525", "2526"))
    with MasterDouble(folder.queue, status=lambda: status_of(1)):
        before = contents(folder.directory.parent)
        assert found(run_mta)["changes"] == []
        candidate = found(run_mta, str(tmp_path / "candidate"))
        assert contents(folder.directory.parent) == before
    assert candidate["changes"] == ["services changed: smtp"]
    assert candidate["needs_restart"] == []


def test_another_interpreter_needs_a_restart(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    run_mta("render")
    generation = folder.queue / "config" / "1.json"
    generation.write_text(generation.read_text().replace(sys.executable, "/usr/bin/python9"))
    with MasterDouble(folder.queue, status=lambda: status_of(1)):
        assert found(run_mta)["needs_restart"] == [
            "the master itself keeps running with /usr/bin/python9"
        ]


def _check_as(folder: ConfigurationFolder, user: int | None) -> tuple[int, bytes, bytes]:
    command = [sys.executable, "-I", "-m", "mta.commands", "check", str(folder.directory)]
    done = subprocess.run(command, capture_output=True, check=False, user=user)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.requires("root")
@pytest.mark.parametrize("rows", ["{smtp: {user: nobody-here}}", "{smtp: {numprocs: 0}}", "{}"])
def test_it_says_the_same_to_everybody(
    run_mta: RunMta, folder: ConfigurationFolder, rows: str
) -> None:
    """Without root, and where a system runs that this user may not ask."""
    folder.main(QUIET)
    run_mta("render")
    folder.services(f"profile: hub\nservices: {rows}\n")
    with MasterDouble(folder.queue, status=lambda: status_of(1)):
        (folder.queue / "pid").chmod(0o700)
        as_nobody = _check_as(folder, 65534)
    assert _check_as(folder, None) == as_nobody


@pytest.mark.requires("root")
def test_users_that_this_host_lacks(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    """A question of the host: root hears it when asking for that, and before it renders."""
    folder.main(QUIET)
    folder.services("profile: hub\nservices:\n  smtp: {user: nobody-here}\n")
    run_mta("check")
    text = (
        "services.yml:3:16: services.smtp.user: expected a user of this host, got no user "
        "nobody-here; roll out the role users, or adduser --system --group --no-create-home "
        "nobody-here\n"
    )
    assert run_mta("check", "--host", status=os.EX_CONFIG).stderr == text
    (fault,) = found(run_mta, "--host", status=os.EX_CONFIG)["host"]
    assert (fault["file"], fault["line"], fault["found"]) == (
        "services.yml",
        3,
        "no user nobody-here",
    )
    for command in ("render", "start"):
        assert run_mta(command, status=os.EX_CONFIG).stderr == f"mta: {text}"
    assert not folder.queue.exists()


@pytest.mark.requires("root")
def test_who_cannot_judge_the_host_is_told_so(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    folder.main(QUIET)
    run_mta("render")
    command = [sys.executable, "-I", "-m", "mta.commands", "check", "--host", str(folder.directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, user=65534)
    told = "the host was not looked at: the queue directory is another user's"
    assert done.stdout.splitlines()[-1] == told
    as_json = subprocess.run([*command, "--json"], capture_output=True, check=True, user=65534)
    assert json.loads(as_json.stdout)["host"] is None
