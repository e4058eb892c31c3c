"""What a table leaves out has no folder and no command, and what it says where nothing runs."""

import importlib
import json
import os
import pkgutil

import pytest
from support.commands import RunMta
from support.configuration import ConfigurationFolder
from support.master_double import MasterDouble, status_of

import mta.daemons
from mta.commands.extent import QUEUE_DAEMONS
from mta.master.daemon import Needs
from mta.queue.layout import STATES

NO_SERVICE = "the service table (profile maildrop_client) has no service"
ALL = {"check", "probe", "queue", "reference", "reload", "render", "restart", "start", "status"}
ALL |= {"stop", "trace"}


def offered(run_mta: RunMta) -> set[str]:
    listed = run_mta("--help").stdout.partition("Commands:\n")[2]
    return {line.split()[0] for line in listed.splitlines() if line.startswith("  ")}


@pytest.fixture
def workstation(folder: ConfigurationFolder) -> ConfigurationFolder:
    folder.services("profile: maildrop_client\n")
    return folder


UNBOUND = "mailuser"  # declares nothing, for it has no sandbox: its files are the users'


def needs_of(daemon: str) -> Needs:
    module = importlib.import_module(f"mta.daemons.{daemon}")
    if not hasattr(module, "NEEDS"):
        module = importlib.import_module(f"mta.daemons.{daemon}.__main__")
    needs = module.NEEDS
    assert isinstance(needs, Needs)
    return needs


def test_who_opens_queue_files_by_name() -> None:
    """The table of the commands, which import no daemon, is what the daemons declare."""
    daemons = [module.name for module in pkgutil.iter_modules(mta.daemons.__path__)]
    found = {
        name
        for name in daemons
        if name != UNBOUND
        and any(
            path.partition("/")[0] in STATES
            for path in (*needs_of(name).read, *needs_of(name).write)
        )
    }
    assert found == QUEUE_DAEMONS


def test_a_rendered_hub_offers_everything(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    assert offered(run_mta) >= ALL
    run_mta("render")
    assert offered(run_mta) >= ALL
    assert (folder.queue / "incoming").is_dir()


def test_a_table_without_rows_leaves_nothing_but_the_configuration(
    run_mta: RunMta, workstation: ConfigurationFolder
) -> None:
    run_mta("check")
    run_mta("render")
    assert [path.name for path in workstation.queue.iterdir()] == ["config"]
    assert not workstation.log.exists()
    assert json.loads(run_mta("check", "--host", "--json").stdout)["host"] == []
    assert ALL - offered(run_mta) == {"probe", "queue", "trace"}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["queue", "list"], "queue: the service table (profile maildrop_client) has no queue"),
        (["trace", "x"], "trace: the service table (profile maildrop_client) has no log"),
        (
            ["probe"],
            "probe: the service table (profile maildrop_client) takes no mail over SMTP",
        ),
        (["restart", "smtp"], NO_SERVICE),
    ],
)
def test_commands_without_a_subject_are_refused(
    run_mta: RunMta, workstation: ConfigurationFolder, arguments: list[str], text: str
) -> None:
    run_mta("render")
    refused = run_mta(*arguments, status=os.EX_UNAVAILABLE)
    assert (refused.stdout, refused.stderr) == ("", f"mta: {text}\n")
    assert workstation.queue.exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("start", f"generation 1: nothing changed\n{NO_SERVICE}: there is nothing to start\n"),
        ("reload", f"generation 1: nothing changed\n{NO_SERVICE}: there is nothing to reload\n"),
        ("status", f"generation 1\n{NO_SERVICE}: nothing runs, and nothing has to\n"),
        ("stop", f"not running: {NO_SERVICE}\n"),
    ],
)
def test_where_nothing_has_to_run_that_is_said(
    run_mta: RunMta, workstation: ConfigurationFolder, command: str, said: str
) -> None:
    run_mta("render")
    assert run_mta(command).stdout == said
    assert [path.name for path in workstation.queue.iterdir()] == ["config"]


def test_status_for_programs_where_nothing_has_to_run(
    run_mta: RunMta, workstation: ConfigurationFolder
) -> None:
    run_mta("reload")
    assert workstation.queue.exists()
    status = json.loads(run_mta("status", "--json").stdout)
    assert status == {
        "generation": 1,
        "isolation": {"mode": "no process", "missing": []},
        "services": [],
    }


def test_a_master_of_an_earlier_table_is_not_denied(
    run_mta: RunMta, folder: ConfigurationFolder
) -> None:
    run_mta("render")
    folder.services("profile: maildrop_client\n")
    nothing: dict[str, list[str]] = {
        key: [] for key in ("opened", "closed", "added", "removed", "retired")
    }
    with MasterDouble(
        folder.queue, status=lambda: status_of(1, log="running"), reload=lambda _: nothing
    ):
        assert run_mta("reload").stdout.endswith(f"{NO_SERVICE}: `mta stop` ends the master\n")
        assert "running" in run_mta("status").stdout
    assert (folder.queue / "incoming").is_dir()
    assert "queue" in offered(run_mta)


def test_mail_of_an_earlier_table_stays_and_is_told_of(
    run_mta: RunMta, folder: ConfigurationFolder
) -> None:
    run_mta("render")
    (folder.queue / "deferred" / "z" / ("0" * 21 + "z")).write_bytes(b"")
    folder.services("profile: maildrop_client\n")
    text = "there is mail in the queue, and no row of the table works on it"
    assert run_mta("render").stderr == f"mta: {folder.queue}: {text}\n"
    assert (folder.queue / "deferred").is_dir()
    wrong = run_mta("check", "--host", status=os.EX_CONFIG).stderr
    assert text in wrong
    assert "queue" in offered(run_mta)


def test_a_table_without_smtp_has_no_probe(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    folder.services("profile: hub\nservices: {smtp: {enabled: false}}\n")
    run_mta("render")
    assert ALL - offered(run_mta) == {"probe"}
    assert "takes no mail" in run_mta("probe", status=os.EX_UNAVAILABLE).stderr


def test_what_cannot_be_read_leaves_nothing_out(
    run_mta: RunMta, workstation: ConfigurationFolder
) -> None:
    run_mta("render")
    (workstation.queue / "config" / "1.json").write_text("{")
    assert offered(run_mta) >= ALL
    (workstation.directory / "main.yml").write_text("queue_directory: {")
    assert offered(run_mta) >= ALL
    run_mta("queue", "list", status=os.EX_CONFIG)
