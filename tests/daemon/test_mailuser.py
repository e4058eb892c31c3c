"""mailuser, as its clients and the master see it: files, mailboxes and commands of real users."""

import asyncio
import contextlib
import fcntl
import mailbox
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from support.mailuser_house import CONTENT, MailuserHouse, Person, person
from support.messages import messages
from support.needs import missing
from support.processes import running
from support.small_disk import SmallDisk
from support.users import STRANGER, attempt_as, new_user
from support.waiting import wait_until

from mta.ipc.frames import encode
from mta.ipc.mailuser import MailuserClient
from mta.ipc.messages import (
    CommandEnded,
    FileRead,
    FileState,
    Goodbye,
    MailboxKind,
    MailuserRequest,
    Message,
    ReadFile,
    Refused,
    Stored,
)
from mta.master.channel import Bye, Command, Counters, Crossing
from mta.proto.status import MailError
from mta.util.log import Log

FROM = b"From alice@example.org  Wed Jan  1 00:00:00 2025\n"

as_root = pytest.mark.requires("root")


@pytest.fixture(scope="module")
def resident() -> Iterator[Person]:
    with person() as made:
        yield made


@pytest.fixture
def bob(resident: Person) -> Iterator[Person]:
    """The one user of all tests; his home is empty at first."""
    yield resident
    for entry in resident.home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            entry.chmod(0o700)  # where we are not root
            shutil.rmtree(entry)
        else:
            entry.unlink()


@pytest.fixture(scope="module")
def house() -> Iterator[MailuserHouse]:
    """One for all tests that do not end it."""
    with MailuserHouse() as made:
        yield made


def link(path: Path, target: Path | str) -> Path:
    path.symlink_to(target)
    return path


def fifo(path: Path, owner: Person) -> Path:
    os.mkfifo(path)
    os.chown(path, owner.uid, owner.gid)
    return path


READABLE: dict[str, Callable[[Person], Path]] = {
    "private": lambda bob: bob.write(".forward", b"text"),
    "readable for all": lambda bob: bob.write(".forward", b"text", 0o644),
    "a link": lambda bob: link(bob.home / ".forward", bob.write("elsewhere", b"text")),
    "in a sticky folder": lambda bob: bob.folder("open", 0o1777) and bob.write("open/f", b"text"),
}
MISSING: dict[str, Callable[[Person], Path]] = {
    "no file": lambda bob: bob.home / ".forward",
    "no folder": lambda bob: bob.home / "nowhere" / ".forward",
    "a link to nothing": lambda bob: link(bob.home / ".forward", "nowhere"),
    "below a file": lambda bob: bob.write("file") / ".forward",
    "a name that none can have": lambda bob: bob.home / (".forward+" + "x" * 300),
}
UNSAFE: dict[str, tuple[Callable[[Person], Path], str]] = {
    "writable for all": (lambda bob: bob.write("f", b"t", 0o666), "everybody can write to it"),
    "too large": (lambda bob: bob.write("f", b"x" * 1001), "it has more than 1000 octets"),
    "a folder": (lambda bob: bob.folder("f"), "it is a directory"),
    "a pipe": (lambda bob: fifo(bob.home / "f", bob), "it is a FIFO"),
    "a link to itself": (lambda bob: link(bob.home / "f", "f"), "Too many levels"),
    "in an open folder": (
        lambda bob: bob.folder("open", 0o777) and bob.write("open/f", b"t"),
        "everybody can write to its folder",
    ),
}


@pytest.mark.parametrize("how", READABLE)
def test_a_file_is_read(house: MailuserHouse, bob: Person, how: str) -> None:
    assert house.ask(bob.read(READABLE[how](bob))) == FileRead(FileState.READ, b"text")


@pytest.mark.parametrize("how", MISSING)
def test_a_file_is_missing(house: MailuserHouse, bob: Person, how: str) -> None:
    """A home that is not there, too: users without one are common."""
    assert house.ask(bob.read(MISSING[how](bob))) == FileRead(FileState.MISSING)


@pytest.mark.parametrize("how", UNSAFE)
def test_a_file_is_unsafe(house: MailuserHouse, bob: Person, how: str) -> None:
    make, reason = UNSAFE[how]
    reply = house.ask(bob.read(make(bob)))
    assert isinstance(reply, FileRead)
    assert (reply.state, reply.content) == (FileState.UNSAFE, b"")
    assert reason in reply.reason


@as_root
def test_whose_file_it_is_counts(house: MailuserHouse, bob: Person) -> None:
    """Root may write what the user does; others may not, but for a group of the user's own."""
    path = bob.write(".forward", b"text", 0o664)
    assert house.ask(bob.read(path)) == FileRead(FileState.READ, b"text")
    os.chown(path, bob.uid, int(STRANGER))
    reply = house.ask(bob.read(path))
    assert reply == FileRead(FileState.UNSAFE, reason=f"group {STRANGER} can write to it")
    path.chmod(0o644)
    os.chown(path, 0, 0)
    assert house.ask(bob.read(path)) == FileRead(FileState.READ, b"text")
    os.chown(path, int(STRANGER), 0)
    reply = house.ask(bob.read(path))
    assert reply == FileRead(FileState.UNSAFE, reason=f"it is not the user's but uid {STRANGER}'s")
    path.chmod(0o600)
    reply = house.ask(bob.read(path))
    assert reply == FileRead(FileState.UNSAFE, reason="Permission denied")


def messages_in(path: Path) -> list[mailbox.mboxMessage]:
    with contextlib.closing(mailbox.mbox(str(path), create=False)) as box:
        return list(box)


def test_mbox(house: MailuserHouse, bob: Person) -> None:
    path = bob.home / "mbox"
    content = b"Subject: one\r\n\r\nFrom here\r\nto there"
    status = house.outcome(bob.store(path, content=content), content)
    assert (status.code, status.enhanced) == (250, "2.0.0")
    house.outcome(bob.store(path, sender=""))
    found = path.stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o600, bob.uid, bob.gid)
    first, second = messages_in(path)
    assert first.get_from().split("  ")[0] == "alice@example.org"
    assert first["Delivered-To"] == "bob@example.net"
    assert first.get_payload() == ">From here\nto there\n"
    assert second.get_from().startswith("MAILER-DAEMON ")
    assert not (bob.home / "mbox.lock").exists()


def test_maildir(house: MailuserHouse, bob: Person) -> None:
    """Folders on the way are made; a link to where the mail lies is followed."""
    link(bob.home / "Mail", bob.folder("disk"))
    house.outcome(bob.store(bob.home / "Mail" / "in" / "box", MailboxKind.MAILDIR))
    (path,) = (bob.home / "disk" / "in" / "box" / "new").iterdir()
    assert path.read_bytes() == b"Delivered-To: bob@example.net\nSubject: hello\n\nText\n"
    assert path.stat().st_uid == bob.uid
    assert ".posthouse.test" in path.name


def test_what_nobody_wants(house: MailuserHouse, bob: Person) -> None:
    assert house.outcome(bob.store("/dev/null")).code == 250


def test_a_limit_of_a_mailbox(house: MailuserHouse, bob: Person) -> None:
    path = bob.home / "mbox"
    assert house.outcome(bob.store(path, size_limit=1000)).code == 250
    before = path.read_bytes()
    status = house.outcome(bob.store(path, size_limit=len(before) + 10))
    assert (status.code, status.enhanced) == (552, "5.2.2")
    assert path.read_bytes() == before


def test_a_mailbox_that_is_a_link(house: MailuserHouse, bob: Person) -> None:
    target = bob.write("target", b"precious")
    for kind in MailboxKind:
        status = house.outcome(bob.store(link(bob.home / kind.value, target), kind))
        assert status.is_temporary, kind
    assert target.read_bytes() == b"precious"


@as_root
def test_the_users_rights_are_the_only_ones(house: MailuserHouse, bob: Person) -> None:
    """What is root's, and what another user made in his place, is not written to."""
    for owner in (0, int(STRANGER)):
        path = bob.write("mbox", b"precious")
        os.chown(path, owner, 0)
        assert house.outcome(bob.store(path)).is_temporary
        path.chmod(0o666)
        assert house.outcome(bob.store(path)).enhanced == "4.2.0"
        assert path.read_bytes() == b"precious"
        assert house.outcome(bob.store("/etc/passwd")).is_temporary
        assert house.outcome(bob.store("/etc", MailboxKind.MAILDIR)).is_temporary


def test_a_user_without_a_home(house: MailuserHouse, bob: Person) -> None:
    """Many have none, or one that is gone: no file of theirs is there, and no command or mailbox.

    local(8): a directory that cannot be entered, a Maildir that cannot be made: tried again.
    """
    home = Path("/nonexistent") / bob.name
    assert house.ask(bob.read(home / ".forward")) == FileRead(FileState.MISSING)
    stored = house.outcome(bob.store(home / "Maildir", MailboxKind.MAILDIR))
    assert str(stored) == "451 4.3.0 mailbox cannot be written"
    refused = house.refusal(bob.run("id", directory=str(home)))
    assert refused.status.enhanced == "4.3.5"
    assert refused.status.is_temporary


@as_root
def test_the_spool(house: MailuserHouse, bob: Person) -> None:
    """/var/mail is open to group mail: for his own mailbox, and no other name, a user has it."""
    spool = Path("/var/mail")
    try:
        assert house.outcome(bob.store(spool / bob.name)).code == 250
        found = (spool / bob.name).stat()
        assert (found.st_uid, found.st_mode & 0o777) == (bob.uid, 0o600)
        assert house.outcome(bob.store(spool / f"{bob.name}.lock")).is_temporary
        assert house.outcome(bob.store(spool / "nobody")).is_temporary
        assert os.listdir(spool).count(bob.name) == 1
    finally:
        (spool / bob.name).unlink(missing_ok=True)


def test_a_file_in_anothers_folder_has_no_lock_file(house: MailuserHouse, bob: Person) -> None:
    """As in Postfix: the other locks do, if there is one."""
    folder = bob.folder("shared")
    path = bob.write("shared/mbox")
    folder.chmod(0o555)
    assert house.outcome(bob.store(path)).code == 250
    assert house.outcome(bob.store(path, locks=("dotlock",))).is_temporary


def test_a_mail_reader_has_the_lock(house: MailuserHouse, bob: Person) -> None:
    path = bob.write("mbox")
    with path.open("r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        house.send(bob.store(path))
        wait_until(house.children, "the delivery to begin")
        assert path.read_bytes() == b""
        held.write(b"From reader  Thu Jan  1 00:00:00 1970\n\n\n")
    _, reply = house.hear()
    assert isinstance(reply, Stored)
    assert path.read_bytes().startswith(b"From reader  Thu Jan  1 00:00:00 1970\n\n\nFrom alice")


@as_root
def test_nobody_looks_into_a_delivery(house: MailuserHouse, bob: Person) -> None:
    """Not even a process of the user's: nothing of this daemon's memory is any business of his."""
    path = bob.write("mbox")
    with path.open("r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        house.send(bob.store(path))
        (child,) = wait_until(house.children, "the delivery to begin")
        status = Path(f"/proc/{child}/status")
        wait_until(lambda: f"Uid:\t{bob.uid}\t" in status.read_text(), "the user to be there")
        wait_until(lambda: "NoNewPrivs:\t1" in status.read_text(), "the end of all privileges")
        seen = attempt_as(bob.name, f"os.listdir('/proc/{child}/fd')", Path("/"))
        assert seen == "EACCES"
    assert isinstance(house.hear()[1], Stored)


@pytest.mark.requires("dotlockfile")
def test_a_program_has_the_lock_file(house: MailuserHouse, bob: Person) -> None:
    """Debian's own tool makes it and takes it away."""
    path = bob.write("mbox")
    lock = f"{path}.lock"
    assert house.run(bob.run("dotlockfile", "-l", lock)).status == 0
    house.send(bob.store(path))
    wait_until(house.children, "the delivery to begin")
    assert path.read_bytes() == b""
    os.unlink(lock)
    _, reply = house.hear()
    assert isinstance(reply, Stored)
    assert path.stat().st_size > 0


def test_a_delivery_that_is_killed(house: MailuserHouse, bob: Person) -> None:
    """A beginning stays in the mbox, and the next message does not become a part of it."""
    path = bob.home / "mbox"
    size = 2**32  # of a file that has no blocks: nobody waits for its end
    with (bob.home / "huge").open("wb") as huge:
        huge.truncate(size)
    with (bob.home / "huge").open("rb") as huge:
        number = house.send_file(bob.store(path, content_length=size), huge.fileno())
    wait_until(lambda: path.exists() and path.stat().st_size, "the delivery to write")
    for child in house.children():
        os.kill(child, signal.SIGKILL)
    heard, reply = house.hear()
    assert heard == number
    assert isinstance(reply, Refused)
    assert reply.status.is_temporary
    os.truncate(path, 1000)  # all that follows is as this
    (bob.home / "mbox.lock").unlink()  # void after 500 seconds
    assert house.outcome(bob.store(path)).code == 250
    assert path.read_bytes()[1000:].startswith(b"\n\nFrom alice@example.org  ")
    assert len(messages_in(path)) == 2


@pytest.mark.requires("root", "mkfs.ext4", "mount")
def test_a_full_disk(house: MailuserHouse, bob: Person, tmp_path: Path) -> None:
    content = b"Subject: large\r\n\r\n" + b"x" * 200_000
    place = bob.folder("disk")
    with SmallDisk(place, tmp_path / "image", megabytes=4, inodes=100) as disk:
        os.chown(place, bob.uid, bob.gid)
        assert house.outcome(bob.store(place / "mbox")).code == 250
        before = (place / "mbox").read_bytes()
        disk.fill(leave=50)
        for kind, name in ((MailboxKind.MBOX, "mbox"), (MailboxKind.MAILDIR, "dir")):
            status = house.outcome(bob.store(place / name, kind, content=content), content)
            assert (status.code, status.enhanced) == (452, "4.3.1")
        assert (place / "mbox").read_bytes() == before
        assert not list((place / "dir" / "new").iterdir())
        disk.free()
        assert house.outcome(bob.store(place / "mbox", content=content), content).code == 250


def test_who_a_command_runs_as(house: MailuserHouse, bob: Person) -> None:
    """Nothing that could be taken back, no descriptor and no variable that was not asked for."""
    script = (
        "grep -E '^(Uid|Gid|NoNewPrivs|SigIgn):' /proc/self/status; ls /proc/self/fd | wc -l;"
        "umask; pwd; env -u PWD -u OLDPWD -u SHLVL -u _"
    )
    environment = (("PATH", "/usr/bin:/bin"), ("SENDER", "a b"))
    reply = house.run(bob.run(script, shell=True, environment=environment))
    lines = reply.output.decode().splitlines()
    uid, gid, ignored, privileges, *rest = lines
    assert (uid, gid) == ("Uid:" + 4 * f"\t{bob.uid}", "Gid:" + 4 * f"\t{bob.gid}")
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0
    inherited = Path("/proc/self/status").read_text().partition("NoNewPrivs:")[2].split()[0]
    assert privileges == f"NoNewPrivs:\t{inherited}"
    assert rest == ["4", "0077", str(bob.home), "PATH=/usr/bin:/bin", "SENDER=a b"]


@as_root
def test_a_users_groups(house: MailuserHouse, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with new_user(tmp_path / "home", "mail") as carol:
        reply = house.run(Person(carol, Path("/")).run("id", "-Gn"))
        assert reply.output.split() == [carol.pw_name.encode(), b"mail"]


@as_root
def test_a_set_gid_helper_gets_its_group(house: MailuserHouse, bob: Person) -> None:
    """procmail and its like need that: no_new_privs would take it from them."""
    helper = bob.home / "helper"
    helper.write_bytes(Path("/usr/bin/id").read_bytes())
    os.chown(helper, 0, int(STRANGER))
    helper.chmod(0o2755)
    assert f"egid={STRANGER}".encode() in house.run(bob.run(str(helper))).output


def test_the_message_of_a_command(house: MailuserHouse, bob: Person) -> None:
    request = bob.run("cat", prefix=b"Delivered-To: bob\n")
    assert house.run(request).output == b"Delivered-To: bob\nSubject: hello\n\nText\n"
    request = bob.run("cat", prefix=b"Delivered-To: bob\n", crlf=True)
    assert house.run(request).output == b"Delivered-To: bob\r\n" + CONTENT


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 75", 75),
        ("exit 255", 255),
        ("kill -TERM $$", -signal.SIGTERM),
        ("kill -KILL $$", -signal.SIGKILL),
        ("exec 0<&-; exec sleep 0.01", 0),
    ],
)
def test_how_a_command_ends(house: MailuserHouse, bob: Person, script: str, status: int) -> None:
    """A command need not read the message."""
    content = b"x" * 1_000_000
    reply = house.run(bob.run(script, shell=True, content=content), content)
    assert reply == CommandEnded(status, False, b"")


def test_a_command_that_is_none(house: MailuserHouse, bob: Person) -> None:
    """In sh's words, and its statuses: local maps these."""
    assert house.run(bob.run("no-such-command")).status == 127
    assert house.run(bob.run(str(bob.home / "nowhere" / "command"))).status == 127
    plain = bob.write("plain", b"text")
    reply = house.run(bob.run(str(plain)))
    assert reply == CommandEnded(126, False, f"{plain}: Permission denied".encode())
    refused = house.refusal(bob.run("true", directory=str(bob.home / "nowhere")))
    assert (refused.status.code, refused.status.enhanced) == (451, "4.3.5")


def test_a_command_that_says_too_much(house: MailuserHouse, bob: Person) -> None:
    reply = house.run(bob.run("echo start; head -c 3000000 /dev/zero; exit 3", shell=True))
    assert (reply.status, len(reply.output)) == (3, 8192)
    assert reply.output.startswith(b"start\n\0")


def test_a_command_that_floods(house: MailuserHouse, bob: Person) -> None:
    reply = house.run(bob.run("yes", seconds=0.3))
    assert (reply.status, reply.timed_out, len(reply.output)) == (-9, True, 8192)


def test_a_command_that_hangs(house: MailuserHouse, bob: Person) -> None:
    """With all that it has started; what it said first is known."""
    script = "echo $$; trap '' TERM HUP; sleep 1000 & echo $!; wait"
    reply = house.run(bob.run(script, shell=True, seconds=0.5))
    assert (reply.status, reply.timed_out) == (-9, True)
    for pid in reply.output.split():
        wait_until(partial(is_gone, int(pid)), "the command to be gone")


def is_gone(pid: int) -> bool:
    """Whether the process runs no more; it may be a zombie until its new parent looks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_command_that_forks(house: MailuserHouse, bob: Person) -> None:
    """All of a process group is killed at once, so that none can fork away from it."""
    mark = f"nap-{bob.name}"
    os.symlink("/bin/sleep", bob.home / mark)
    script = (
        f"bomb() {{ ./{mark} 1000 & [ $1 -gt 6 ] || {{ bomb $(($1+1)) & bomb $(($1+1)) & }}; }}"
    )
    reply = house.run(bob.run(f"{script}; bomb 0; wait", shell=True, seconds=1.0))
    assert reply.timed_out

    wait_until(lambda: not running(mark), "the last of them to be gone")


def test_how_many_processes_a_user_may_have(house: MailuserHouse, bob: Person) -> None:
    soft, hard = house.run(bob.run("ulimit -p; ulimit -Hp", shell=True)).output.split()
    assert int(soft) == int(hard) <= 4096


def test_a_command_that_goes_on_in_the_background(house: MailuserHouse, bob: Person) -> None:
    """As in Postfix it may, and it holds nobody up, though it keeps the pipe open."""
    reply = house.run(bob.run("sleep 1000 & echo $!", shell=True))
    assert (reply.status, reply.timed_out) == (0, False)
    pid = int(reply.output)
    assert not is_gone(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_message_that_is_cut_off(house: MailuserHouse, bob: Person) -> None:
    """No command takes a part for the whole: it is killed before it hears of an end."""
    request = bob.run("cat > part; touch whole", shell=True, content=CONTENT + b"missing")
    refused = house.refusal(request)
    assert (refused.status.code, refused.status.enhanced) == (451, "4.3.0")
    assert refused.status.text == "queue file truncated"
    assert not (bob.home / "whole").exists()


@pytest.mark.requires("procmail", "root")
def test_procmail(house: MailuserHouse, bob: Person) -> None:
    """Set-uid and set-gid as Debian has it; to the spool, where it is told nothing else."""
    environment = (("HOME", str(bob.home)), ("USER", bob.name), ("LOGNAME", bob.name))
    request = bob.run("procmail", environment=environment, prefix=FROM)
    spool = Path("/var/mail", bob.name)
    try:
        assert house.run(request) == CommandEnded(0, False, b"")
        (message,) = messages_in(spool)
        assert message["Subject"] == "hello"
        assert spool.stat().st_uid == bob.uid
        bob.write(".procmailrc", f":0:\n{bob.home}/sorted\n".encode())
        assert house.run(request).status == 0
        assert b"Subject: hello" in (bob.home / "sorted").read_bytes()
    finally:
        spool.unlink(missing_ok=True)


@pytest.mark.requires("/usr/lib/dovecot/dovecot-lda", "root")
def test_dovecot_lda(house: MailuserHouse, bob: Person) -> None:
    settings = "mail_location = maildir:~/Maildir\nlog_path = /dev/stderr\nauth_socket_path = /x\n"
    place = bob.write("dovecot.conf", settings.encode())
    environment = (("HOME", str(bob.home)), ("USER", bob.name))
    lda = "/usr/lib/dovecot/dovecot-lda"
    request = bob.run(lda, "-c", str(place), "-f", "a@example.org", environment=environment)
    assert house.run(request).status == 0
    (path,) = (bob.home / "Maildir" / "new").iterdir()
    assert b"Subject: hello" in path.read_bytes()


def test_whom_it_does_not_become(house: MailuserHouse) -> None:
    """Root least of all; where an ordinary user runs the house, nobody else."""
    for name, enhanced in (("root", "4.3.5"), ("no-such-user", "4.3.0")):
        refused = house.refusal(ReadFile(name, "/etc/passwd", 50_000))
        assert (refused.status.code, refused.status.enhanced) == (451, enhanced)
    wait_until(lambda: house.daemon.events("request_refused"), "the log to say so")
    if os.geteuid():
        assert house.refusal(ReadFile("nobody", "/etc/passwd", 50_000)).status.enhanced == "4.3.5"


@as_root
def test_nothing_is_done_as_a_user_of_the_house(bob: Person) -> None:
    """Who gets a daemon's user gets its queue, or its keys."""
    with MailuserHouse({"user": bob.name}) as house:
        refused = house.refusal(bob.run("id"))
        assert (refused.status.code, refused.status.enhanced) == (451, "4.3.5")


@as_root
def test_a_stranger_is_not_heard(house: MailuserHouse) -> None:
    (house.directory / "private").chmod(0o755)
    (house.directory / "private" / "mailuser").chmod(0o777)
    heard = attempt_as(STRANGER, "connect('private/mailuser').recv(1)", house.directory)
    assert heard == "b''"
    (event,) = house.daemon.events("stranger")
    assert event["uid"] == int(STRANGER)


GARBAGE: dict[str, bytes] = {
    "no message": b"\x00",
    "another version": b"\x93\x02\x01\x94\xa8ReadFile\xa3bob\xa2/x\x01",
    "a path that is none": b"\x93\x01\x01\x94\xa8ReadFile\xa3bob\xa1x\x01",
    "a number below the last": b"\x93\x01\x00\x94\xa8ReadFile\xa3bob\xa2/x\x01",
    "a message without its descriptor": b"\x93\x01\x01\x9a\xacStoreMessage\xa3bob\xa4mbox"
    b"\xa2/x\xa0\xc4\x00\x00\x00\x00\x90",
}


@pytest.mark.parametrize("how", GARBAGE)
def test_what_makes_no_sense(house: MailuserHouse, bob: Person, how: str) -> None:
    """Costs the connection, and nobody else anything."""
    before = len(house.daemon.events("ipc_malformed"))
    with house.new_client() as client:
        client.send(GARBAGE[how])
        assert client.recv(1) == b""
    assert len(house.daemon.events("ipc_malformed")) == before + 1
    assert house.ask(bob.read("/nowhere")) == FileRead(FileState.MISSING)


@given(request=messages(MailuserRequest))
@settings(max_examples=60)
def test_every_request_is_answered(house: MailuserHouse, request: Message) -> None:
    """Whatever it names: users that there are not, for the most part."""
    reply = house.ask(request)
    assert isinstance(reply, Refused | FileRead | CommandEnded | Stored)


def test_one_user_does_not_get_all_places(bob: Person) -> None:
    """A fourth of them, here one of four: what is more waits for its turn."""
    gate = fifo(bob.home / "gate", bob)
    with MailuserHouse({"client_limit": 4}) as house:
        first = house.send(bob.run("read line < gate", shell=True))
        further = [house.send(bob.read("/nowhere")) for _ in range(3)]
        wait_until(house.children, "the first to run")
        if not missing("root"):
            refused = house.send(ReadFile("no-such-user", "/etc/passwd", 1000))
            assert house.hear()[0] == refused
        assert len(house.children()) == 1
        gate.write_text("go\n")
        assert house.hear() == (first, CommandEnded(0, False, b""))
        assert [house.hear() for _ in further] == [
            (number, FileRead(FileState.MISSING)) for number in further
        ]


def test_a_client_that_goes_away_before_its_turn(bob: Person) -> None:
    """Nothing is begun for it: it tries again elsewhere, or later."""
    gate = fifo(bob.home / "gate", bob)
    with MailuserHouse({"client_limit": 4}) as house:
        first = house.send(bob.run("read line < gate", shell=True))
        wait_until(house.children, "the first to run")
        with house.new_client() as client, (bob.home / "message").open("w+b") as message:
            request = bob.run("touch", "done", content=b"")
            socket.send_fds(client, [encode(1, request)], [message.fileno()])
        house.daemon.hear_until(Counters(1, 2))
        gate.write_text("go\n")
        assert house.hear() == (first, CommandEnded(0, False, b""))
        assert house.ask(bob.read("/nowhere")) == FileRead(FileState.MISSING)
        assert not (bob.home / "done").exists()


def test_retiring(bob: Person) -> None:
    """What is in hand is done and answered; nothing else is begun."""
    gate = fifo(bob.home / "gate", bob)
    with MailuserHouse() as house:
        number = house.send(bob.run("read line < gate", shell=True))
        wait_until(house.children, "the command to run")
        house.daemon.tell(Command("retire"))
        assert house.hear() == (0, Goodbye(number))
        house.send(bob.read("/nowhere"))
        gate.write_text("go\n")
        assert house.hear() == (number, CommandEnded(0, False, b""))
        assert house.daemon.ended() == 0
        house.daemon.hear_rest()
        assert house.daemon.of_kind(Bye) == [Bye("retired")]
        assert house.daemon.of_kind(Counters)[-1] == Counters(1, 1)


@pytest.mark.parametrize("how", ["terminated", "killed", "orphaned"])
def test_an_end_in_haste(bob: Person, how: str) -> None:
    """No command is left that nobody waits for: its message comes again."""
    with MailuserHouse() as house:
        house.send(bob.run("echo $$ > pid.new; mv pid.new pid; exec sleep 1000", shell=True))
        wait_until((bob.home / "pid").exists, "the command to run")
        pid = int((bob.home / "pid").read_text())
        match how:
            case "terminated":
                house.daemon.process.terminate()
            case "killed":
                house.daemon.process.kill()
            case "orphaned":
                house.daemon.channel.shutdown(socket.SHUT_RDWR)
        house.daemon.ended()
        wait_until(partial(is_gone, pid), "the command to be gone")


def test_idle(bob: Person) -> None:
    """A connection alone keeps nobody."""
    with MailuserHouse({"max_idle": 0.1}) as house:
        house.ask(bob.read("/nowhere"))
        assert house.hear() == (0, Goodbye(1))
        assert house.daemon.ended() == 0
        house.daemon.hear_rest()
        assert house.daemon.of_kind(Bye) == [Bye("idle")]


def test_worn_out(bob: Person) -> None:
    with MailuserHouse({"max_use": 1}) as house:
        number = house.send(bob.read("/nowhere"))
        assert house.hear() == (0, Goodbye(number))
        assert house.hear() == (number, FileRead(FileState.MISSING))
        assert house.daemon.ended() == 0
        house.daemon.hear_rest()
        assert house.daemon.of_kind(Bye) == [Bye("max_use")]


def test_no_more_clients_than_the_row_has(bob: Person) -> None:
    with MailuserHouse({"client_limit": 2}) as house:
        with house.new_client():
            house.daemon.hear_until(Crossing("full"))
        house.daemon.hear_until(Crossing("free"))
        assert house.ask(bob.read("/nowhere")) == FileRead(FileState.MISSING)


def test_a_client_that_goes_away(house: MailuserHouse, bob: Person) -> None:
    """A delivery that has begun is finished: it cannot be taken back."""
    gate = fifo(bob.home / "gate", bob)
    with house.new_client() as client:
        request = bob.run("read line < gate; touch done", shell=True, content=b"")
        with (bob.home / "message").open("w+b") as message:
            socket.send_fds(client, [encode(1, request)], [message.fileno()])
        wait_until(house.children, "the command to run")
    gate.write_text("go\n")
    wait_until((bob.home / "done").exists, "the command to end")


def test_the_client(house: MailuserHouse, bob: Person) -> None:
    """What the server refuses, and what it does not answer, its callers see as mail errors."""
    path = str(house.directory / "private" / "mailuser")
    forward = bob.write(".forward", b"text")

    async def scenario() -> None:
        log = Log(2, "test", "test", 1)
        client = MailuserClient(asyncio.get_running_loop(), 10, log, path)
        with (bob.home / "message").open("w+b") as message:
            message.write(CONTENT)
            message.flush()
            read, stored, ended = await asyncio.gather(
                client.read_file(bob.read(forward)),
                client.store(bob.store(bob.home / "mbox"), message.fileno()),
                client.run(bob.run("cat"), message.fileno()),
            )
            with pytest.raises(MailError, match=r"552 5\.2\.2"):
                await client.store(bob.store(bob.home / "mbox", size_limit=1), message.fileno())
        assert read == FileRead(FileState.READ, b"text")
        assert stored.status.code == 250
        assert ended.output == CONTENT.replace(b"\r\n", b"\n")
        client.close()
        nobody = MailuserClient(asyncio.get_running_loop(), 10, log, f"{path}.none")
        with pytest.raises(MailError, match=r"451 4\.3\.0"):
            await nobody.read_file(bob.read(forward))
        nobody.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("arguments", "status"),
    [((), os.EX_USAGE), (("--stdio", "--generation", "1"), os.EX_CONFIG)],
)
def test_it_has_no_single_client(
    house: MailuserHouse, arguments: tuple[str, ...], status: int
) -> None:
    command = (sys.executable, "-I", "-m", "mta.daemons.mailuser", *arguments)
    done = subprocess.run(
        command, cwd=house.directory, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == status
