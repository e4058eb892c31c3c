"""`mta config`: what it shows, and what a rollback leaves."""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.commands import RunMta
from support.configuration import SERVICES, ConfigurationFolder
from support.master_double import MasterDouble, status_of
from support.users import STRANGER, identity

from mta.commands.main import mta
from mta.config.generations import GenerationFolder

NO_CHANGES: dict[str, list[str]] = {
    key: [] for key in ("opened", "closed", "added", "removed", "retired")
}
OTHER_PORT = SERVICES.replace("2525", "2526")


@pytest.fixture
def three(run_mta: RunMta, folder: ConfigurationFolder) -> dict[int, dict[str, bytes]]:
    """Three generations; their files, by number and name."""
    made = {}
    run_mta("render")
    made[1] = files(folder)
    folder.main("hopcount_limit: 9\nsmtpd_timeout: 2m\n")
    run_mta("render")
    made[2] = files(folder)
    folder.services(
        """\
profile: hub
services:
  smtp: {listen: ["inet:127.0.0.1:2526"], settings: {smtpd_timeout: 90}}
  virtual: {enabled: false}
"""
    )
    run_mta("render")
    made[3] = files(folder)
    return made


def files(folder: ConfigurationFolder) -> dict[str, bytes]:
    """All files that lie beside the configuration."""
    found = folder.directory.iterdir()
    return {path.name: path.read_bytes() for path in found if path.is_file()}


def config(folder: ConfigurationFolder) -> Path:
    return folder.queue / "config"


@pytest.mark.parametrize("command", ["list", "show", "diff"])
def test_looking_does_not_need_what_rendering_needs(
    folder: ConfigurationFolder, three: object, command: str
) -> None:
    script = (
        "import sys; from click.testing import CliRunner; from mta.commands.main import mta;"
        "print(CliRunner().invoke(mta, sys.argv[1:]).exit_code, *sys.modules)"
    )
    arguments = [sys.executable, "-I", "-c", script, "-c", str(folder.directory), "config", command]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()
    assert found[0] == "0"
    assert f"mta.commands.config.{command}" in found
    assert not {"jinja2", "rich", "supervisor", "asyncio"} & set(found)


# list


def test_list_tells_what_each_changed(
    run_mta: RunMta, folder: ConfigurationFolder, three: object
) -> None:
    found = json.loads(run_mta("config", "list", "--json").stdout)
    assert [entry["generation"] for entry in found] == [1, 2, 3]
    assert [entry["changes"] for entry in found] == [
        [],
        ["parameters changed: hopcount_limit smtpd_timeout"],
        ["services removed: virtual", "services changed: smtp"],
    ]
    assert [entry["in_force"] for entry in found] == [False, False, True]
    assert "T" in found[0]["created"]
    lines = run_mta("config", "list").stdout.splitlines()
    assert lines[0].split("  ")[0] == "generation"
    assert "starts next" in lines[3]
    with MasterDouble(folder.queue, status=lambda: status_of(2)):
        lines = run_mta("config", "list").stdout.splitlines()
    assert [("in force" in line) for line in lines[1:]] == [False, True, False]


def test_a_damaged_generation_is_listed_as_such(
    run_mta: RunMta, folder: ConfigurationFolder, three: object
) -> None:
    foreign = (config(folder) / "3.json").read_text().replace('"version":1', '"version":2')
    (config(folder) / "3.json").write_text(foreign)
    (config(folder) / "1.json").write_text("{")
    (config(folder) / "01.json").write_text("not a generation's name")
    found = json.loads(run_mta("config", "list", "--json").stdout)
    assert [bool(entry["damaged"]) for entry in found] == [True, False, True]
    assert "1.json: " in found[0]["damaged"]
    assert "damaged: " in run_mta("config", "list").stdout


def test_a_comment_is_told_from_a_change(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    run_mta("render")
    folder.main("# why\n")
    run_mta("render")
    (_, entry) = json.loads(run_mta("config", "list", "--json").stdout)
    assert entry["changes"] == ["files only: main.yml"]
    assert run_mta("config", "diff").stdout == (
        "from generation 1 to 2\nthe same settings; texts differ: main.yml\n"
    )


# show


def test_show_tells_values_and_where_they_come_from(run_mta: RunMta, three: object) -> None:
    text = run_mta("config", "show").stdout
    assert text.startswith("generation 3, profile hub\n")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "hopcount_limit = 9 main.yml:5:17",
        "smtpd_timeout = 2m main.yml:6:16",
        "smtp services.yml:3:9",
        'listen = ["inet:127.0.0.1:2526"] services.yml:3:18',
        "settings.smtpd_timeout = 90s services.yml:3:69",
        'daemon = "smtpd" profile hub',
        "virtual is switched off services.yml:4:22",
    ):
        assert line in lines
    assert "header_size_limit" not in text
    assert "max_idle" not in text


def test_show_all_tells_defaults_too(run_mta: RunMta, three: object) -> None:
    lines = [" ".join(it.split()) for it in run_mta("config", "show", "--all").stdout.splitlines()]
    assert "header_size_limit = 102400 default" in lines
    assert "max_idle = 100s default" in lines


def test_show_for_programs(run_mta: RunMta, three: object) -> None:
    found = json.loads(run_mta("config", "show", "parameters", "--json").stdout)
    assert found.keys() == {"generation", "parameters"}
    by_name = {each["name"]: each for each in found["parameters"]}
    assert by_name["smtpd_timeout"] == {
        "name": "smtpd_timeout",
        "value": 120.0,
        "default": 300.0,
        "origin": "main.yml:6:16",
    }
    found = json.loads(run_mta("config", "show", "services", "--generation", "1", "--json").stdout)
    assert found["generation"] == 1
    rows = {row["name"]: row for row in found["services"]}
    assert rows["virtual"]["enabled"]
    assert {"name": "listen", "value": ["inet:127.0.0.1:2525"], "default": []}.items() <= next(
        key for key in rows["smtp"]["keys"] if key["name"] == "listen"
    ).items()


@pytest.mark.parametrize("damage", ["{", None])
def test_show_does_without_an_origin_that_is_damaged(
    run_mta: RunMta, folder: ConfigurationFolder, three: object, damage: str | None
) -> None:
    path = config(folder) / "3.origin.json"
    path.unlink()
    if damage is not None:
        path.write_text(damage)
    result = run_mta("config", "show", "parameters")
    assert result.stderr.startswith(f"mta: where values come from is not known: {path}: ")
    assert "hopcount_limit = 9                     " in result.stdout
    assert "unknown" in result.stdout
    run_mta("config", "diff")


# diff


def test_diff_tells_old_and_new(run_mta: RunMta, three: object) -> None:
    assert run_mta("config", "diff").stdout == (
        "from generation 2 to 3\n"
        "services stopped: virtual\n"
        'smtp: listen: ["inet:127.0.0.1:2525"] -> ["inet:127.0.0.1:2526"]\n'
        "smtp: settings.smtpd_timeout: unset -> 90s\n"
    )
    assert run_mta("config", "diff", "2", "1").stdout == (
        "from generation 2 to 1\nhopcount_limit: 9 -> 50\nsmtpd_timeout: 2m -> 5m\n"
    )
    assert run_mta("config", "diff", "2", "2").stdout == "from generation 2 to 2\nthe same\n"


def test_diff_for_programs(run_mta: RunMta, three: object) -> None:
    found = json.loads(run_mta("config", "diff", "3", "1", "--json").stdout)
    assert found == {
        "from": 3,
        "to": 1,
        "profile": None,
        "interpreter": None,
        "parameters": [
            {"name": "hopcount_limit", "old": 9, "new": 50},
            {"name": "smtpd_timeout", "old": 120.0, "new": 300.0},
        ],
        "services": {
            "started": ["virtual"],
            "stopped": [],
            "changed": [
                {
                    "name": "smtp",
                    "keys": [
                        {
                            "name": "listen",
                            "old": ["inet:127.0.0.1:2526"],
                            "new": ["inet:127.0.0.1:2525"],
                        },
                        {"name": "settings.smtpd_timeout", "old": 90.0, "new": None},
                    ],
                }
            ],
        },
        "files": ["main.yml", "services.yml"],
    }


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["diff", "7"], os.EX_NOINPUT, "no generation 7: there are 1 2 3"),
        (["show", "--generation", "7"], os.EX_NOINPUT, "no generation 7"),
        (["rollback", "7"], os.EX_NOINPUT, "no generation 7"),
        (["rollback", "0"], os.EX_USAGE, "is not in the range"),
        (["rollback", "-1"], os.EX_USAGE, "No such option"),
        (["show", "secrets"], os.EX_USAGE, "secrets"),
        (["bogus"], os.EX_USAGE, "No such command 'bogus'"),
    ],
)
def test_what_there_is_not(
    run_mta: RunMta,
    folder: ConfigurationFolder,
    three: dict[int, dict[str, bytes]],
    arguments: list[str],
    status: int,
    text: str,
) -> None:
    assert text in run_mta("config", *arguments, status=status).stderr
    assert files(folder) == three[3]


@pytest.mark.parametrize("command", ["list", "show", "diff", "rollback"])
def test_nothing_was_rendered_yet(run_mta: RunMta, command: str) -> None:
    result = run_mta("config", command, status=os.EX_NOINPUT)
    assert "no generation yet: `mta render` or `mta start` makes one" in result.stderr


def test_the_first_has_none_before_it(run_mta: RunMta) -> None:
    run_mta("render")
    for command in ("diff", "rollback"):
        result = run_mta("config", command, status=os.EX_NOINPUT)
        assert result.stderr == "mta: there is no generation before 1\n"


# rollback


def test_rollback_of_a_system_that_does_not_run(
    run_mta: RunMta, folder: ConfigurationFolder, three: dict[int, dict[str, bytes]]
) -> None:
    assert run_mta("config", "rollback").stdout == (
        "the files are those of generation 2 again\n"
        "generation 4: services added: virtual; services changed: smtp\n"
        "the system does not run: `mta start` starts it with this\n"
    )
    assert files(folder) == three[2]
    assert GenerationFolder(str(folder.queue)).starts() == 4
    assert run_mta("config", "diff", "2", "4").stdout.endswith("the same\n")
    assert run_mta("render").stdout == "generation 4: nothing changed\n"
    run_mta("config", "rollback")  # said twice, it undoes itself
    assert files(folder) == three[3]


def test_rollback_is_a_reload(
    run_mta: RunMta, folder: ConfigurationFolder, three: dict[int, dict[str, bytes]]
) -> None:
    changes = {**NO_CHANGES, "retired": ["smtp", "qmgr"]}
    with MasterDouble(
        folder.queue, status=lambda: status_of(3), reload=lambda _: changes
    ) as master:
        found = json.loads(run_mta("config", "rollback", "1", "--json").stdout)
        assert ("reload", 4) in master.calls
        assert run_mta("config", "rollback", "1").stdout == (
            "the files are those of generation 1 again\n"
            "generation 4: nothing changed\n"
            "retired: smtp qmgr\n"
        )
    assert found == {
        "restored": 1,
        "generation": 4,
        "changes": [
            "services added: virtual",
            "services changed: smtp",
            "parameters changed: hopcount_limit smtpd_timeout",
        ],
        "unused": [],
        "in_force": True,
        "reload": changes,
    }
    assert files(folder) == three[1]


def test_what_was_typed_and_never_rendered_is_kept(
    run_mta: RunMta, folder: ConfigurationFolder, three: dict[int, dict[str, bytes]]
) -> None:
    typed = []
    for text in ("typo: [\n", "second: 1\n"):
        folder.main(text)
        typed.append((folder.directory / "main.yml").read_bytes())
        found = run_mta("config", "--queue-directory", str(folder.queue), "rollback", "2").stdout
        assert f"what was never rendered is kept: {folder.directory}/main.yml.unused" in found
    assert files(folder) == {
        **three[2],
        "main.yml.unused": typed[0],
        "main.yml.unused-2": typed[1],
    }


def test_a_file_that_cannot_be_read_needs_the_queue_directory_named(
    run_mta: RunMta, folder: ConfigurationFolder, three: dict[int, dict[str, bytes]]
) -> None:
    """At three in the morning the way out has to be in the message."""
    (folder.directory / "main.yml").unlink()
    result = run_mta("config", "rollback", status=os.EX_CONFIG)
    assert "mta config --queue-directory DIRECTORY" in result.stderr
    (folder.directory / "services.yml").write_text("\0")
    run_mta("config", "--queue-directory", str(folder.queue), "rollback", "3")
    assert files(folder) == {**three[3], "services.yml.unused": b"\0"}


def test_mode_owner_and_links_stay(
    run_mta: RunMta, folder: ConfigurationFolder, three: dict[int, dict[str, bytes]]
) -> None:
    elsewhere = folder.directory.parent / "elsewhere"
    elsewhere.mkdir()
    (folder.directory / "services.yml").rename(elsewhere / "table.yml")
    (folder.directory / "services.yml").symlink_to(elsewhere / "table.yml")
    (elsewhere / "table.yml").chmod(0o640)
    run_mta("config", "rollback", "1")
    assert (folder.directory / "services.yml").is_symlink()
    assert (elsewhere / "table.yml").stat().st_mode & 0o777 == 0o640
    assert files(folder) == three[1]


def test_rollback_to_what_is_no_longer_valid_changes_nothing(
    run_mta: RunMta, folder: ConfigurationFolder
) -> None:
    """A generation may refer to what has gone since: a certificate, a user, a release."""
    run_mta("render")
    path = config(folder) / "1.origin.json"
    provenance = json.loads(path.read_text())
    provenance["files"]["main.yml"] += "sender_of_old: 1\n"
    path.write_text(json.dumps(provenance))
    folder.main("hopcount_limit: 9\n")
    run_mta("render")
    before, generations = files(folder), set(os.listdir(config(folder)))
    result = run_mta("config", "rollback", status=os.EX_CONFIG)
    assert result.stderr.splitlines() == [
        "mta: generation 1 is not valid any more:",
        (
            "mta: main.yml:5:1: main.sender_of_old: expected the name of a parameter, got "
            '"sender_of_old"'
        ),
    ]
    assert files(folder) == before
    assert set(os.listdir(config(folder))) == generations


def test_rollback_into_another_queue_is_refused(
    run_mta: RunMta, folder: ConfigurationFolder, three: dict[int, dict[str, bytes]]
) -> None:
    path = config(folder) / "1.origin.json"
    path.write_text(path.read_text().replace(str(folder.queue), f"{folder.queue}2"))
    result = run_mta("config", "rollback", "1", status=os.EX_CONFIG)
    assert f"is for the queue directory {folder.queue}2" in result.stderr
    assert files(folder) == three[3]


@pytest.mark.parametrize("damage", ["{", None])
def test_rollback_needs_a_sound_origin(
    run_mta: RunMta,
    folder: ConfigurationFolder,
    three: dict[int, dict[str, bytes]],
    damage: str | None,
) -> None:
    path = config(folder) / "2.origin.json"
    path.unlink()
    if damage is not None:
        path.write_text(damage)
    result = run_mta("config", "rollback", status=os.EX_CONFIG)
    assert result.stderr.startswith(f"mta: {path}: ")
    assert files(folder) == three[3]


def _refuse(_: int) -> None:
    raise OSError("cannot listen on inet:127.0.0.1:2525")


def test_what_the_master_refuses_is_put_back(
    run_mta: RunMta, folder: ConfigurationFolder, three: dict[int, dict[str, bytes]]
) -> None:
    folder.main("typo: [\n")
    before = files(folder)
    with MasterDouble(folder.queue, status=lambda: status_of(3), reload=_refuse):
        result = run_mta(
            *("config", "--queue-directory", str(folder.queue), "rollback", "1"),
            status=os.EX_UNAVAILABLE,
        )
    assert result.stderr.splitlines() == [
        "mta: refused: cannot listen on inet:127.0.0.1:2525",
        "mta: the files are as they were, and so is what is in force",
    ]
    assert files(folder) == before
    assert GenerationFolder(str(folder.queue)).starts() == 3


def test_disk_that_is_full_leaves_the_files_as_they_were(
    run_mta: RunMta,
    folder: ConfigurationFolder,
    three: dict[int, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/config/.4.json.new"):
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    result = run_mta("config", "rollback", status=os.EX_OSERR)
    assert "No space left" in result.stderr
    assert files(folder) == three[3]
    assert GenerationFolder(str(folder.queue)).starts() == 3


def test_a_second_command_waits_for_the_first(
    run_mta: RunMta, folder: ConfigurationFolder, three: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = functools.partialmethod(GenerationFolder.locked, patience=0.0)
    monkeypatch.setattr(GenerationFolder, "locked", at_once)
    with GenerationFolder(str(folder.queue)).locked():
        for command in (("render",), ("config", "rollback")):
            result = run_mta(*command, status=os.EX_TEMPFAIL)
            assert "another command changes the configuration" in result.stderr


@pytest.mark.requires("root")
def test_who_may_not_is_told(folder: ConfigurationFolder, run_mta: RunMta, three: object) -> None:
    """What is in force is no secret; the operator's files may be, and are not a stranger's."""
    before = files(folder)
    listed = _as_stranger(folder, "list")
    assert "starts next" in listed.stdout
    shown = _as_stranger(folder, "show", "parameters")
    assert "hopcount_limit = 9 " in shown.stdout
    assert "3.origin.json" in shown.stderr
    refused = _as_stranger(folder, "rollback", status=os.EX_NOPERM)
    assert "Permission denied" in refused.stderr
    assert files(folder) == before


def _as_stranger(
    folder: ConfigurationFolder, *arguments: str, status: int = 0
) -> subprocess.CompletedProcess[str]:
    uid, gid, groups = identity(STRANGER)
    command = [sys.executable, "-I", "-m", "mta.commands", "-c", str(folder.directory), "config"]
    done = subprocess.run(
        [*command, *arguments],
        user=uid,
        group=gid,
        extra_groups=groups,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


# SIGKILL between any two steps

_CHANGES = {"os.link", "os.rename", "os.remove", "os.rmdir"}
_WRITING = os.O_WRONLY | os.O_RDWR


def _killed(at: int, *arguments: str) -> bool:
    """Run a command that is killed before its step `at`; whether it came so far.

    A step is what changes a name, or opens a file to write it. Folders of the queue, which are
    there already, are none.
    """
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            _die_in(at, arguments)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) in (os.EX_OK, os.EX_UNAVAILABLE)
    return os.WIFSIGNALED(status)


def _die_in(at: int, arguments: tuple[str, ...]) -> None:
    steps = 0

    def step(event: str, details: tuple[object, ...]) -> None:
        nonlocal steps
        opened = event == "open" and isinstance(details[2], int) and details[2] & _WRITING
        if event in _CHANGES or opened:
            steps += 1
            if steps == at:
                os.kill(os.getpid(), signal.SIGKILL)

    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    sys.addaudithook(step)
    try:
        mta.main(list(arguments), standalone_mode=False)
    except click.ClickException as error:
        os._exit(error.exit_code)
    os._exit(0)


@pytest.mark.parametrize("refused", [False, True])
def test_killed_at_any_step_leaves_a_valid_configuration_or_says_why_not(
    run_mta: RunMta,
    folder: ConfigurationFolder,
    three: dict[int, dict[str, bytes]],
    refused: bool,
) -> None:
    """Never a mixture of two generations that passes for one; never a loss of what was typed.

    Where the master refuses, the way back is part of it.
    """
    folder.main("hopcount_limit: 77\n")
    typed = files(folder)
    changing = {folder.directory: "etc", config(folder): "config"}
    saved = folder.directory.parent / "saved"
    for path, name in changing.items():
        shutil.copytree(path, saved / name)
    marked: list[int] = []
    for at in range(1, 100):
        for path, name in changing.items():
            shutil.rmtree(path)
            shutil.copytree(saved / name, path)
        reload = _refuse if refused else lambda _: NO_CHANGES
        with MasterDouble(folder.queue, status=lambda: status_of(3), reload=reload):
            died = _killed(at, "-c", str(folder.directory), "config", "rollback", "1")
        (folder.queue / "pid" / "supervisor.sock").unlink()
        found = files(folder)
        assert typed["main.yml"] in (found["main.yml"], found.get("main.yml.unused"))
        if not died:
            break
        marked += _marked(found)
        if _marked(found):
            result = run_mta("check", status=os.EX_CONFIG)
            assert result.stderr.startswith("rollback.unfinished: expected two files of one")
            run_mta("render", status=os.EX_CONFIG)
        else:
            assert {name: found[name] for name in typed} in (typed, three[1])
            run_mta("check")
        (number,) = _marked(found) or [1]
        run_mta("config", "rollback", str(number))
        after = files(folder)
        assert after.items() >= three[number].items()
        assert typed["main.yml"] in after.values()
        assert not {name for name in os.listdir(folder.directory) if "rollback" in name}
        run_mta("check")
    else:
        pytest.fail("it never ends")
    assert files(folder).items() >= (typed if refused else three[1]).items()
    assert marked.count(1) > 2
    assert (marked.count(3) > 2) == refused


def _marked(found: dict[str, bytes]) -> list[int]:
    """The generation that the mark of an interrupted rollback names, if there is one."""
    text = found.get("rollback.unfinished", b"").decode()
    return [int(text.removeprefix("rollback to generation "))] if text else []
