"""A maildrop on a file server that fails: what a caller of sendmail sees, and a whole hub."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support.classic_programs import install_programs
from support.dropped import dropped_in, make_place
from support.file_server import NEEDS, FileServer
from support.instance import Instance, NewInstance
from support.maildrop import drop
from support.waiting import wait_until

pytestmark = pytest.mark.requires(*NEEDS)

MESSAGE = b"Subject: x\n\n" + b"y" * 200_000 + b"\n"
NewServer = Callable[..., FileServer]


@pytest.fixture
def new_server(short_path: Path) -> Iterator[NewServer]:
    """A server of an empty maildrop."""
    folder, mount = short_path / "served", short_path / "mounted"
    folder.mkdir()
    mount.mkdir()
    shutil.chown(folder, "mta", "mta")
    folder.chmod(0o3733)
    with ExitStack() as servers:
        yield lambda **options: servers.enter_context(FileServer(folder, mount, **options))


@pytest.fixture
def server(new_server: NewServer) -> FileServer:
    return new_server()


class Host:
    """A host that mounts the maildrop, and waits no longer than a second for it."""

    def __init__(self, directory: Path, mount: Path) -> None:
        self.directory = directory
        directory.mkdir()
        make_place(directory, maildrop_directory=str(mount), sendmail_timeout=1.0)
        install_programs(directory / "bin", directory / "etc")

    def send(self) -> int:
        """Have a shell send mail, and see the end of its output; the status."""
        return subprocess.run(
            ["/bin/sh", "-c", "sendmail -f alice bob"],
            input=MESSAGE,
            capture_output=True,
            check=False,
            timeout=60,
            user="daemon",
            group="daemon",
            extra_groups=[],
            env={"PATH": f"{self.directory}/bin:/usr/bin:/bin"},
        ).returncode

    def writers(self) -> list[int]:
        """The processes of sendmail that are left."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and self._is_ours(name)]

    def _is_ours(self, pid: str) -> bool:
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            said = Path("/proc", pid, "environ").read_bytes()
            return f"MTA_CONFIG={self.directory}/".encode() in said
        return False


@pytest.fixture
def host(server: FileServer, short_path: Path) -> Host:
    return Host(short_path / "host", server.mount)


AWAY = [
    ("", False),
    *((operation, False) for operation in ("create", "write", "chmod", "fsync", "flush", "rename")),
    *((operation, True) for operation in ("create", "write", "fsync", "rename")),
]


@pytest.mark.parametrize(("operation", "done"), AWAY)
def test_a_server_that_leaves_keeps_nobody_waiting(
    host: Host, server: FileServer, operation: str, done: bool
) -> None:
    """The caller is to try again while the server is away; what he was told stays true."""
    server.leave(operation, done=done)
    assert host.send() == os.EX_TEMPFAIL
    assert host.writers()  # it waits for the server: nobody else does
    server.back()
    wait_until(lambda: not host.writers(), "the end of whoever waited")
    assert os.listdir(server.folder) == []
    assert host.send() == os.EX_OK
    assert len(dropped_in(server.folder)) == 1


ERRORS = [
    *((each, errno.EIO) for each in ("create", "write", "chmod", "fsync", "flush", "rename")),
    *((each, errno.ESTALE) for each in ("create", "write", "fsync", "rename")),
    ("write", errno.ENOSPC),
    ("flush", errno.EDQUOT),
]


@pytest.mark.parametrize(("operation", "error"), ERRORS)
def test_an_error_is_a_temporary_failure(
    host: Host, server: FileServer, operation: str, error: int
) -> None:
    """ESTALE comes to stay: once is nothing, for the kernel asks again."""
    server.fail(operation, error, times=3)
    status = host.send()
    assert server.struck()
    server.back()
    wait_until(lambda: not host.writers(), "the end of sendmail")
    assert status == os.EX_TEMPFAIL
    assert dropped_in(server.folder) == []


@pytest.mark.parametrize("error", [errno.EIO, errno.ETIMEDOUT, errno.ENOENT])
def test_a_rename_whose_answer_was_lost_was_made(
    host: Host, server: FileServer, error: int
) -> None:
    """ENOENT is the answer to its repetition: status and file agree."""
    server.fail("rename", error, done=True)
    assert host.send() == os.EX_OK
    assert server.struck() == 1
    assert len(dropped_in(server.folder)) == 1


def test_a_lost_rename_of_a_caller_who_gave_up_is_taken_back(
    host: Host, server: FileServer
) -> None:
    server.leave("rename", done=True)
    assert host.send() == os.EX_TEMPFAIL
    assert len(dropped_in(server.folder)) == 1  # as another client of the server sees it
    server.back()
    wait_until(lambda: not host.writers(), "the end of whoever waited")
    assert os.listdir(server.folder) == []


def test_owners_may_be_squashed(new_server: NewServer, short_path: Path) -> None:
    server = new_server(squash=True)
    assert Host(short_path / "host", server.mount).send() == os.EX_OK
    (path,) = server.mount.iterdir()
    assert path.owner() == "nobody"


# A hub


@pytest.fixture
def hub(server: FileServer, new_instance: NewInstance) -> Instance:
    parameters = {"maildrop_directory": str(server.mount), "sendmail_timeout": "5s"}
    hub = new_instance(parameters, {"pickup": {"wakeup": "1s"}})
    install_programs(hub.directory / "bin", hub.config)
    return hub


def test_a_hub_runs_while_its_file_server_is_away(hub: Instance, server: FileServer) -> None:
    """It starts, is looked at, takes its own users' mail; and the files when the server is back."""
    hub.mta("render")
    name = drop(server.folder)
    server.leave()
    hub.start()
    hub.wait_ready("pickup")
    hub.wait_log("folder_away", directory=str(server.mount))
    subprocess.run(
        [hub.directory / "bin" / "sendmail", "bob@posthouse.test"],
        input=MESSAGE,
        check=True,
        timeout=60,
    )
    hub.maildir("bob").wait(1, 30.0)
    checked = hub.try_mta("check", "--host")
    assert "no answer within" in checked.stderr
    hub.reload()
    assert hub.service("pickup")["state"] == "running"
    server.back()
    wait_until(lambda: not os.listdir(server.folder), "an empty maildrop", 60.0)
    hub.maildir("bob").wait(2, 30.0)
    assert hub.wait_log("submitted", file=name)
    assert "no answer" not in hub.try_mta("check", "--host").stderr
