"""`mta check` on a host where one thing is wrong: it is named, with what was expected."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner, Result
from support.certificates import make_pair
from support.commands import RunMta
from support.configuration import ConfigurationFolder
from support.instance import separated

from mta.commands import host as commands_host

NOBODY = 65534


@dataclass(frozen=True)
class Plant:
    """One thing wrong below the test's folder; `expected` is the message without that folder."""

    name: str
    path: str
    spoil: Callable[[Path], None]
    expected: str
    mended: bool = False  # whether `mta render` sets it right


def chown(user: str, group: str) -> Callable[[Path], None]:
    return lambda path: shutil.chown(path, user, group)


def chmod(mode: int) -> Callable[[Path], None]:
    return lambda path: path.chmod(mode)


def link(path: Path) -> None:
    path.rmdir()
    path.symlink_to("/tmp")


def made_by(user: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch(0o644)
        shutil.chown(path, user, user)

    return make


def shared_with_group(path: Path) -> None:
    shutil.chown(path, "root", "mta")
    path.chmod(0o775)


RENDER = "run mta render as root"
ROOTS = (
    Plant(
        "queue files of root",
        "queue/incoming",
        chown("root", "root"),
        "expected owner mta, group mta, mode 0700, got root root 0700; " + RENDER,
        mended=True,
    ),
    Plant(
        "an open subfolder",
        "queue/deferred/b",
        chmod(0o755),
        "expected owner mta, group mta, mode 0700, got mta mta 0755; " + RENDER,
        mended=True,
    ),
    Plant(
        "a subfolder of somebody else",
        "queue/deferred/b",
        chown("nobody", "nogroup"),
        "expected owner mta, group mta, mode 0700, got nobody nogroup 0700; chown mta:mta, "
        "chmod 0700",
    ),
    Plant(
        "a missing folder",
        "queue/hold/Z",
        Path.rmdir,
        "expected owner mta, group mta, mode 0700, got nothing; " + RENDER,
        mended=True,
    ),
    Plant(
        "a link in a folder's place",
        "queue/corrupt/b",
        link,
        "expected a directory, got a symbolic link, root root 0777; move it away, then " + RENDER,
    ),
    Plant(
        "sockets for everybody",
        "queue/private",
        chmod(0o711),
        "expected owner root, group mtaprivate, mode 0710, got root mtaprivate 0711; " + RENDER,
        mended=True,
    ),
    Plant(
        "sockets that the mail owner may replace",
        "queue/public",
        chown("mta", "mta"),
        "expected owner root, group root, mode 0755, got mta mta 0755; " + RENDER,
        mended=True,
    ),
    Plant(
        "locks that everybody may replace",
        "queue/pid",
        chmod(0o777),
        "expected owner root, group root, mode 0711, got root root 0777; " + RENDER,
        mended=True,
    ),
    Plant(
        "a lock that qmgr cannot take",
        "queue/pid/qmgr.lock",
        chown("root", "root"),
        "expected owner mta, group mta, mode 0600, got root root 0600; " + RENDER,
        mended=True,
    ),
    Plant(
        "a queue directory of somebody else",
        "queue",
        chown("nobody", "nogroup"),
        "expected owner root, group root, mode 0755, got nobody nogroup 0755; chown root:root, "
        "chmod 0755",
    ),
    Plant(
        "a compiled configuration that the mail owner writes",
        "queue/config/1.json",
        chown("mta", "mta"),
        "expected owner root, group root, mode 0644, got mta mta 0644; chown root:root, chmod 0644",
    ),
    Plant(
        "a socket of somebody else",
        "queue/private/virtual",
        made_by("vmail"),
        "expected owner root, group root, mode 0644, got vmail vmail 0644; remove it while the "
        "master does not run",
    ),
    Plant(
        "a log folder that is the mail owner's",
        "log",
        chown("mta", "mta"),
        "expected owner root, group mta, mode 1770, got mta mta 1770; if it is for this log "
        "alone, chown root:mta, chmod 1770",
    ),
    Plant(
        "a log folder without the sticky bit",
        "log",
        chmod(0o770),
        "expected owner root, group mta, mode 1770, got root mta 0770; if it is for this log "
        "alone, chown root:mta, chmod 1770",
    ),
    Plant(
        "master's logs that are the mail owner's",
        "log/master",
        chown("mta", "mta"),
        "expected owner root, group root, mode 0700, got mta mta 0700; chown root:root, chmod 0700",
    ),
    Plant(
        "a log for everybody",
        "log/mail.log",
        made_by("mta"),
        "expected owner mta, group mta, mode 0640, got mta mta 0644; chown mta:mta, chmod 0640",
    ),
    Plant(
        "mailboxes of root",
        "mail",
        chown("root", "root"),
        "expected owner vmail, group vmail, mode 0700, got root root 0700; chown vmail:vmail, "
        "chmod 0700",
    ),
    Plant(
        "mailboxes for everybody",
        "mail",
        chmod(0o755),
        "expected owner vmail, group vmail, mode 0700, got vmail vmail 0755; chown vmail:vmail, "
        "chmod 0700",
    ),
    Plant(
        "no mailboxes",
        "mail",
        Path.rmdir,
        "expected owner vmail, group vmail, mode 0700, got nothing; make it, then chown "
        "vmail:vmail, chmod 0700",
    ),
    Plant(
        "a maildrop that its users may list",
        "queue/maildrop",
        chmod(0o3777),
        "expected owner mta, group mta, mode 3733, got mta mta 3777; " + RENDER,
        mended=True,
    ),
    Plant(
        "a shared maildrop whose files pickup cannot read",
        "drop",
        chmod(0o1733),
        "expected owner mta, group mta, mode 3733, got mta mta 1733; mount it, or chown mta:mta, "
        "chmod 3733",
    ),
    Plant(
        "a shared maildrop that is not mounted",
        "drop",
        Path.rmdir,
        "expected a directory, got nothing; mount the file server's, or make one",
    ),
    Plant(
        "parameters of somebody else",
        "etc/main.yml",
        chown("mta", "mta"),
        "expected what user mta could not change, got mta mta 0644; chown root, chmod go-w",
    ),
    Plant(
        "a folder of settings that a group may change",
        "etc",
        shared_with_group,
        "expected what group mta could not change, got root mta 0775; chown root, chmod go-w",
    ),
    Plant(
        "a way that daemons cannot pass",
        "",
        chmod(0o700),
        "expected a way that is open to mta, mtanet, vmail, got root root 0700; chmod o+x",
    ),
    Plant(
        "a key that smtpd cannot read",
        "tls/posthouse.test.key",
        chmod(0o600),
        "expected a file that mtanet can read, got root mtatls 0600; chmod 0640, and chgrp to a "
        "group of the row's user alone (mtatls)",
    ),
    Plant(
        "a table that rewrite cannot read",
        "tables/relocated",
        chmod(0o600),
        "expected a table that mta can read, got root root 0600; chmod 0640, and chgrp to a group "
        "of mta alone",
    ),
    Plant(
        "a way to tables that nobody can pass",
        "tables",
        chmod(0o700),
        "expected a way that is open to mta, got root root 0700; chmod o+x",
    ),
)
EVERYBODY = "expected what everybody could not change, got "
ANYBODYS = (
    Plant(
        "an open folder",
        "queue/hold",
        chmod(0o755),
        "expected owner ",
        mended=True,
    ),
    Plant("settings for everybody", "etc", chmod(0o777), EVERYBODY),
    Plant("logs for everybody", "log", chmod(0o777), EVERYBODY),
    Plant("mailboxes for everybody", "mail", chmod(0o777), EVERYBODY),
)


@pytest.fixture
def host(folder: ConfigurationFolder, run_mta: RunMta) -> Path:
    """A healthy host: rendered, with mailboxes and a key; the folder that all lies in."""
    base = folder.directory.parent
    (base / "mail").mkdir(mode=0o700)
    (base / "tables").mkdir()
    (base / "drop").mkdir()
    (base / "tables" / "relocated").write_text("old@posthouse.test new@example.org\n")
    pair = make_pair(base / "tls")
    pair.key.chmod(0o640)
    if separated():
        shutil.chown(base / "mail", "vmail", "vmail")
        shutil.chown(pair.key, "root", "mtatls")
        shutil.chown(base / "drop", "mta", "mta")
    (base / "drop").chmod(0o3733)
    folder.main(
        f"maildrop_directory: {base}/drop\n"
        "virtual_mailbox_domains: [posthouse.test]\n"
        "smtpd_tls_security_level: may\n"
        f"smtpd_tls_cert_file: {pair.certificate}\n"
        f"smtpd_tls_key_file: {pair.key}\n"
        f"relocated_maps: ['texthash:{base}/tables/relocated']\n"
    )
    run_mta("render")
    return base


def test_a_healthy_host(host: Path, run_mta: RunMta) -> None:
    assert host.exists()
    assert run_mta("check", "--host").stderr == ""
    assert json.loads(run_mta("check", "--host", "--json").stdout)["host"] == []


def test_a_file_server_that_is_away_is_only_a_warning(
    host: Path, run_mta: RunMta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the system runs without it, and nobody waits for it."""

    def away(path: str, timeout: float) -> NoReturn:
        raise TimeoutError(f"no answer within {timeout:g} s")

    monkeypatch.setattr(commands_host, "open_distant", away)
    said = run_mta("check", "--host").stderr
    assert said == (
        f"{host}/drop: warning: expected a directory, got no answer within 1 s; "
        "see to the file server\n"
    )


def test_before_the_first_rendering_there_is_nothing_to_judge(
    folder: ConfigurationFolder, run_mta: RunMta
) -> None:
    folder.main("virtual_mailbox_domains: [posthouse.test]\n")
    assert run_mta("check", "--host").stderr == ""


def _check(plant: Plant, host: Path, run_mta: RunMta) -> None:
    path = host / plant.path
    plant.spoil(path)
    assert run_mta("check").stderr == "", "of this host nobody asked"
    lines = run_mta("check", "--host", status=os.EX_CONFIG).stderr.splitlines()
    assert [line for line in lines if line.startswith(f"{path}: {plant.expected}")] == lines
    (fault,) = json.loads(run_mta("check", "--host", "--json", status=os.EX_CONFIG).stdout)["host"]
    assert (fault["file"], fault["line"], fault["name"]) == (str(path), 0, "")
    text = f"expected {fault['expected']}, got {fault['found']}; {fault['suggestion']}"
    assert lines == [f"{path}: {text}"]
    if plant.mended:
        run_mta("render")
        assert run_mta("check", "--host").stderr == ""


@pytest.mark.requires("root")
@pytest.mark.parametrize("plant", ROOTS, ids=lambda plant: plant.name)
def test_what_is_wrong_on_a_host_of_roots(plant: Plant, host: Path, run_mta: RunMta) -> None:
    _check(plant, host, run_mta)


@pytest.mark.parametrize("plant", ANYBODYS, ids=lambda plant: plant.name)
def test_what_is_wrong_where_one_user_runs_all(
    plant: Plant, host: Path, folder: ConfigurationFolder
) -> None:
    """Root steps down for it, and the host becomes that user's."""
    if separated():
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", host], check=True)
        host.joinpath("log").chmod(0o700)
    run = _run_as_anybody(folder)
    run("render")
    _check(plant, host, run)


def _run_as_anybody(folder: ConfigurationFolder) -> RunMta:
    def run(*arguments: str, status: int = 0) -> Result:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "mta.commands", "-c", folder.directory, *arguments],
            user=NOBODY if separated() else None,
            group=NOBODY if separated() else None,
            extra_groups=[] if separated() else None,
            capture_output=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return Result(CliRunner(), done.stdout, done.stderr, b"", None, done.returncode, None)

    return run


@pytest.mark.requires("root")
def test_root_does_not_take_over_the_system_of_a_user(
    folder: ConfigurationFolder, run_mta: RunMta
) -> None:
    """Who calls it by mistake as root hears whose it is."""
    run_mta("render")
    shutil.chown(folder.queue, "nobody", "nogroup")
    refused = run_mta("render", status=os.EX_NOPERM)
    assert "belongs to nobody nogroup 0755, expected owner root" in refused.stderr
