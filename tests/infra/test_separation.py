"""What a daemon that was taken over can still do: tried with its user and groups.

The sandbox would refuse most of this too; here only owners, modes and the kernel's word on who
connects stand between the users.
"""

import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.folders import reachable_folder
from support.instance import Instance
from support.users import STRANGER, attempt_as, identity

from mta.ipc.frames import encode
from mta.ipc.messages import ReadFile

pytestmark = pytest.mark.requires("root")

USERS = {
    "log": "mta",
    "qmgr": "mta",
    "cleanup": "mta",
    "rewrite": "mta",
    "lookup": "mta",
    "pickup": "mta",
    "showq": "mta",
    "smtp": "mtanet",
    "resolver": "mtanet",
    "outbound": "mtanet",
    "lmtp": "mtanet",
    "local": "mta",
    "mailuser": "root",
    "bounce": "mta",
    "error": "mta",
    "discard": "mta",
    "virtual": "vmail",
}
STATES = ("incoming", "deferred", "hold", "corrupt")
MESSAGE = b"Subject: secret\r\n\r\nText\r\n"


@pytest.fixture(scope="module")
def house() -> Iterator[Instance]:
    """A running system that has delivered one message, and has another one in the queue."""
    with reachable_folder() as folder:
        ready = {row: {"min_free": 1} for row in USERS if row not in ("log", "qmgr")}
        instance = Instance(folder / "house", {"minimal_backoff_time": "1h"}, ready)
        try:
            instance.start()
            with instance.smtp() as client:
                client.greeted().mail("a@example.org", ["bob@posthouse.test"], MESSAGE)
            instance.maildir("bob").only()
            (instance.mail / "posthouse.test" / "eve").write_text("a file in a folder's place")
            with instance.smtp() as client:
                client.greeted().mail("a@example.org", ["eve@posthouse.test"], MESSAGE)
            instance.wait_log("deferred")
            for row in USERS:
                instance.wait_service(row, state="running")
            yield instance
        finally:
            instance.close()


def _status(pid: int, name: str) -> set[int]:
    """The numbers of one line of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return set(map(int, line.split()[1:]))


def test_each_row_runs_as_its_user_and_root_is_seldom_one(house: Instance) -> None:
    """All four uids and gids: nothing that could be taken back."""
    processes = house.processes()
    assert {process.service for process in processes} == {"", *USERS}
    for process in processes:
        if process.service:
            uid, gid, groups = identity(USERS[process.service])
            assert _status(process.pid, "Uid") == {uid}
            assert _status(process.pid, "Gid") == {gid}
            # Root keeps the groups that the master was started with: they grant root nothing.
            expected = {gid, *groups} if uid else _status(house.supervisord.pid, "Groups")
            assert _status(process.pid, "Groups") == expected
        else:
            assert process.pid == house.supervisord.pid
            assert _status(process.pid, "Uid") == {0}


def test_keys_are_for_the_network_alone() -> None:
    assert grp.getgrnam("mtatls").gr_mem == ["mtanet"]
    gid = grp.getgrnam("mtatls").gr_gid
    assert gid not in {entry.pw_gid for entry in pwd.getpwall()}


@pytest.mark.parametrize("user", ["mtanet", "vmail", "nobody", STRANGER])
@pytest.mark.parametrize("state", STATES)
def test_nobody_but_its_owner_enters_the_queue(house: Instance, user: str, state: str) -> None:
    """Not by the way, not through /proc of a daemon that may, not by a known name."""
    assert attempt_as("mta", f"len(os.listdir('{state}'))", house.queue) == "52"
    assert attempt_as(user, f"os.listdir('{state}')", house.queue) == "EACCES"
    (pid,) = house.pids("qmgr")
    for way in ("cwd", "root", "fd", "map_files"):
        through = f"os.listdir('/proc/{pid}/{way}/{state}')"
        assert attempt_as(user, through, house.queue) in {"EACCES", "EPERM"}
    (stored,) = house.messages("deferred")
    assert attempt_as(user, f"os.open('{stored}', os.O_RDONLY)", house.queue) == "EACCES"


@pytest.mark.parametrize("user", ["vmail", "nobody", STRANGER])
@pytest.mark.parametrize("service", ["cleanup", "rewrite", "virtual", "outbound", "bounce"])
def test_private_sockets_are_for_the_house(house: Instance, user: str, service: str) -> None:
    """Who could connect to cleanup could forge mail behind smtpd's back."""
    assert attempt_as(user, f"connect('private/{service}')", house.queue) == "EACCES"


@pytest.mark.parametrize("service", ["cleanup", "rewrite", "resolver"])
def test_the_network_reaches_what_it_needs(house: Instance, service: str) -> None:
    assert "connect" not in attempt_as("mtanet", f"connect('private/{service}')", house.queue)
    assert attempt_as("mtanet", f"connect('private/{service}') and 'in'", house.queue) == "in"


def test_a_delivery_agent_hears_the_queue_manager_alone(house: Instance) -> None:
    """A taken-over smtpd may pass private/, yet cannot have mail delivered past the queue."""
    heard = attempt_as("mtanet", "connect('private/virtual').recv(1)", house.queue)
    assert heard == "b''"
    house.wait_log("stranger", service="virtual", uid=identity("mtanet")[0])


@pytest.mark.parametrize("user", ["mtanet", "vmail"])
def test_who_becomes_users_hears_the_queues_owner_alone(house: Instance, user: str) -> None:
    """vmail does not pass private/ at all; mtanet does, and is not heard."""
    heard = attempt_as(user, "connect('private/mailuser').recv(1)", house.queue)
    assert heard == {"mtanet": "b''", "vmail": "EACCES"}[user]
    if user == "mtanet":
        house.wait_log("stranger", service="mailuser", uid=identity(user)[0])


@pytest.mark.parametrize(
    ("user", "answer"),
    [("nobody", b"missing"), ("mta", b"4.3.5"), ("mtanet", b"4.3.5"), ("root", b"4.3.5")],
)
def test_who_becomes_users_becomes_none_of_the_house(
    house: Instance, user: str, answer: bytes
) -> None:
    """Even if the queue's owner asks: nothing is gained by that, and nothing done as root."""
    frame = encode(1, ReadFile(user, "/nowhere/.forward", 1000))
    asked = f"(lambda it: [it.send({frame!r}), it.recv(1000)])(connect('private/mailuser'))"
    assert answer.decode() in attempt_as("mta", asked, house.queue)


def test_who_becomes_users_has_no_other_power(house: Instance) -> None:
    """KILL, SETGID, SETUID: what it opens by mistake, it opens as any stranger would."""
    (pid,) = house.pids("mailuser")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in lines)
    assert fields["CapEff"] == fields["CapPrm"] == f"{0b11100000:016x}"
    assert fields["Threads"] == "1"


@pytest.mark.parametrize("user", ["nobody", STRANGER])
def test_the_open_socket_asks_who_comes(house: Instance, user: str) -> None:
    assert attempt_as(user, "connect('public/qmgr').recv(1)", house.queue) == "b''"
    house.wait_log("stranger", service="qmgr", uid=identity(user)[0])


@pytest.mark.parametrize("user", ["mtanet", "vmail", "nobody", STRANGER])
def test_everybody_may_leave_mail_and_nobody_sees_anothers(house: Instance, user: str) -> None:
    """A file gets the folder's group, so that pickup reads it; names are not to be had."""
    flags = "os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640"
    others = house.queue / "maildrop" / ".1-of-another"
    others.write_bytes(b"private")
    others.chmod(0o640)
    assert attempt_as(user, "os.listdir('maildrop')", house.queue) == "EACCES"
    assert attempt_as(user, "os.open('maildrop/.1-of-another', os.O_RDONLY)", house.queue) == (
        "EACCES"
    )
    for attempt in (
        "os.unlink('maildrop/.1-of-another')",
        "os.rename('maildrop/.1-of-another', 'maildrop/.2')",
    ):
        assert attempt_as(user, attempt, house.queue) in {"EPERM", "EACCES"}
    own = house.queue / "maildrop" / f".1-of-{user}"
    assert attempt_as(user, f"os.open('maildrop/{own.name}', {flags}) > 0", house.queue) == "True"
    found = own.stat()
    assert (found.st_uid, found.st_gid) == (identity(user)[0], identity("mta")[1])
    own.unlink()
    others.unlink()


@pytest.mark.parametrize("user", ["vmail", "nobody", STRANGER])
@pytest.mark.parametrize("service", ["pickup", "showq"])
def test_everybody_may_speak_to_them(house: Instance, user: str, service: str) -> None:
    heard = attempt_as(user, f"connect('public/{service}') and 'in'", house.queue)
    assert heard == "in"
    assert house.log_records("stranger", service=service) == []


@pytest.mark.parametrize("user", ["mtanet", "nobody", STRANGER])
def test_mail_and_logs_are_closed(house: Instance, user: str) -> None:
    mailbox = house.maildir("bob").only().path
    for path in (house.log_file, mailbox, house.log_file.parent / "master" / "supervisord.log"):
        assert attempt_as(user, f"os.open('{path}', os.O_RDONLY)", Path("/")) == "EACCES"
    for folder in (house.log_file.parent, house.mail):
        assert attempt_as(user, f"os.listdir('{folder}')", Path("/")) == "EACCES"


def test_the_mailboxes_user_has_mailboxes_alone(house: Instance) -> None:
    """It needs no log file, no queue, and no master: all that it needs it was given."""
    assert "posthouse.test" in attempt_as("vmail", f"os.listdir('{house.mail}')", Path("/"))
    assert attempt_as("vmail", f"os.open('{house.log_file}', os.O_RDONLY)", Path("/")) == "EACCES"
    assert attempt_as("mta", f"os.listdir('{house.mail}')", Path("/")) == "EACCES"


@pytest.mark.parametrize("user", ["mta", "mtanet", "vmail", "nobody"])
@pytest.mark.parametrize(
    "attempt",
    [
        "os.open('config/x', os.O_CREAT | os.O_WRONLY)",
        "os.open('config/1.json', os.O_WRONLY)",
        "os.open('config/supervisord.conf', os.O_WRONLY)",
        "os.open('pid/x', os.O_CREAT | os.O_WRONLY)",
        "os.open('pid/master.lock', os.O_RDWR)",
        "os.open('pid/supervisord.pid', os.O_WRONLY)",
        "os.rename('pid/qmgr.lock', 'incoming/qmgr.lock')",
        "os.unlink('pid/qmgr.lock')",
        "os.symlink('/etc/passwd', 'private/x')",
        "os.unlink('private/cleanup')",
        "os.symlink('/etc/passwd', 'public/x')",
        "os.rename('incoming', 'elsewhere')",
        "os.mkdir('x')",
        "socket.socket(socket.AF_UNIX).connect('pid/supervisor.sock')",
    ],
)
def test_nobody_turns_what_root_writes_elsewhere(house: Instance, user: str, attempt: str) -> None:
    assert attempt_as(user, attempt, house.queue) == "EACCES"


@pytest.mark.parametrize(
    "attempt",
    ["os.rename('master', 'other')", "os.rmdir('master')", "os.listdir('master')"],
)
def test_the_logs_user_cannot_move_the_masters_logs(house: Instance, attempt: str) -> None:
    """Root follows that path at every start and rotation."""
    assert attempt_as("mta", attempt, house.log_file.parent) in {"EPERM", "EACCES"}
    assert attempt_as("mta", "pathlib.Path('own').touch()", house.log_file.parent) == "None"


def test_the_host_is_found_healthy(house: Instance) -> None:
    assert house.mta("check", "--host").stderr == ""
    assert house.status()["isolation"] == {"mode": "users", "missing": []}


def test_commands_of_root(house: Instance) -> None:
    """Queue files and logs are the daemons' words: root reads them as the queue's owner."""
    queue_id = house.messages("deferred")[0].name
    assert queue_id in house.mta("queue", "list").stdout
    assert "Subject: secret" in house.mta("queue", "cat", queue_id).stdout
    assert "to be tried now" in house.mta("queue", "flush").stdout
    assert "delivered to maildir" in house.mta("probe").stdout
    house.reload()


@pytest.mark.parametrize("folder", ["incoming/b", "deferred/Z"])
def test_a_link_that_the_queues_owner_plants_is_not_followed(house: Instance, folder: str) -> None:
    """Root names the place, and gives nothing away."""
    victim = house.directory / "victim"
    victim.mkdir(mode=0o711, exist_ok=True)
    attempt_as("mta", f"os.rename('{folder}', '{folder}.away')", house.queue)
    attempt_as("mta", f"os.symlink('{victim}', '{folder}')", house.queue)
    try:
        refused = house.mta("render", succeeds=False)
        assert f"{house.queue}/{folder}: expected a directory" in refused.stderr
        checked = house.mta("check", "--host", succeeds=False)
        assert (
            f"{house.queue}/{folder}: expected a directory, got a symbolic link" in checked.stderr
        )
    finally:
        (house.queue / folder).unlink()
        (house.queue / f"{folder}.away").rename(house.queue / folder)
    found = victim.stat()
    assert (found.st_uid, found.st_mode & 0o7777) == (0, 0o711)


def test_a_folder_of_somebody_else_is_not_given_away(house: Instance) -> None:
    """What lies in the queue owner's folders, the queue owner may have put there."""
    inner = house.queue / "hold" / "b"
    os.chown(inner, identity("nobody")[0], -1)
    try:
        assert str(inner) in house.mta("render", succeeds=False).stderr
        assert inner.stat().st_uid == identity("nobody")[0]
        assert f"{inner}: expected owner mta" in house.mta("check", "--host", succeeds=False).stderr
    finally:
        os.chown(inner, identity("mta")[0], -1)


def test_no_start_where_others_could_change_what_root_runs() -> None:
    with reachable_folder() as folder:
        instance = Instance(folder / "house")
        instance.config.chmod(0o777)
        refused = instance.mta("start", succeeds=False)
        assert refused.returncode == os.EX_CONFIG
        assert f"{instance.config}: expected what everybody could not change" in refused.stderr
        assert instance.processes() == []
