"""Programs send mail as they always have: each is run as it is, with sendmail in the usual place.

No system runs here but a maildrop: what lies there afterwards is what they sent.
"""

import os
import select
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest
from support.classic_programs import install_programs
from support.dropped import Dropped, dropped_in, make_place
from support.scripted_pickup import ScriptedPickup
from support.waiting import wait_until

from mta.queue.maildrop import Submission
from mta.submission.place import Place, find_place
from mta.submission.sending import open_door

PER_WRITER = 250  # messages
PATCH = """From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: Alice <alice@x.test>
Date: Wed, 25 Nov 2026 14:00:00 +0000
Subject: [PATCH] change

---
 a | 1 +
"""


class Host:
    """A host with a maildrop."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.queue = make_place(directory)
        self.maildrop = self.queue / "maildrop"
        self.bin = directory / "bin"
        install_programs(self.bin, directory / "etc")

    def run(
        self, command: str, text: str | bytes = "", status: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a shell's command with the programs in its path."""
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            input=text if isinstance(text, bytes) else text.encode(),
            capture_output=True,
            check=False,
            timeout=60,
            cwd=self.directory,
            env={
                "PATH": f"{self.bin}:/usr/bin:/bin",
                "HOME": str(self.directory),
                "LANG": "C.UTF-8",
                **environment,
            },
        )
        assert done.returncode == status, done.stderr.decode()
        return done

    def only(self) -> Dropped:
        """The one message that was sent."""
        (message,) = dropped_in(self.maildrop)
        return message


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    assert not [name for name in os.listdir(host.maildrop) if name.startswith(".")]


# Callers


def test_cron(host: Host) -> None:
    text = (
        'From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@h> "x"\n'
        "Content-Type: text/plain; charset=UTF-8\n\nline\n.\nlast\n"
    )
    host.run("sendmail -i -FCronDaemon -B8BITMIME -oem root", text)
    message = host.only()
    assert (message.recipients, message.body_8bit) == (("root",), True)
    assert message.content == text.replace("\n", "\r\n").encode()


def test_php_mail(host: Host) -> None:
    """mail() opens a pipe to `sendmail_path`, which is "sendmail -t -i" unless set."""
    host.run(
        "sendmail -t -i -f www@x.test",
        "To: bob@x.test\nSubject: order\nCc: Carol <carol@y.test>\nBcc: d@z.test\r\n\r\nThanks!\n",
    )
    message = host.only()
    assert message.sender == "www@x.test"
    assert message.recipients == ("bob@x.test", "carol@y.test", "d@z.test")
    assert b"d@z.test" not in message.content
    assert message.body == b"Thanks!\r\n"


def test_a_here_document(host: Host) -> None:
    host.run("sendmail -t <<EOF\nTo: root\nSubject: Logwatch\n\nAll is well.\nEOF\n")
    message = host.only()
    assert message.recipients == ("root",)
    assert message.body == b"All is well.\r\n"


@pytest.mark.requires("mail.mailutils")
def test_mailutils(host: Host) -> None:
    command = f"set sendmail=sendmail:{host.bin}/sendmail"
    host.run(f"mail.mailutils -E {shlex.quote(command)} -s report bob@x.test", "body\n.\nmore\n")
    message = host.only()
    assert message.recipients == ("bob@x.test",)
    assert b"\r\nSubject: report\r\n" in message.content
    assert b"body\r\n" in message.body


@pytest.mark.requires("mutt")
def test_mutt(host: Host) -> None:
    (host.directory / "body").write_text("body\n.\nmore\n")
    setting = f'set sendmail="{host.bin}/sendmail -oem -oi" copy=no'
    host.run(f"mutt -n -F /dev/null -e {shlex.quote(setting)} -s report bob@x.test <body")
    message = host.only()
    assert message.recipients == ("bob@x.test",)
    assert b"\r\nSubject: report\r\n" in message.content
    assert message.body.endswith(b"body\r\n.\r\nmore\r\n")


@pytest.mark.requires("/usr/lib/git-core/git-send-email", "/usr/share/perl5/Mail/Address.pm")
def test_git_send_email(host: Host) -> None:
    (host.directory / "0001.patch").write_text(PATCH)
    host.run(
        f"git send-email --quiet --confirm=never --sendmail-cmd={host.bin}/sendmail "
        "--from='Alice <alice@x.test>' --envelope-sender=auto --to=bob@x.test 0001.patch",
        GIT_AUTHOR_NAME="Alice",
        GIT_AUTHOR_EMAIL="alice@x.test",
        GIT_COMMITTER_NAME="Alice",
        GIT_COMMITTER_EMAIL="alice@x.test",
    )
    message = host.only()
    assert message.sender == "alice@x.test"
    assert set(message.recipients) == {"bob@x.test", "alice@x.test"}
    assert b"\r\nSubject: [PATCH] change\r\n" in message.content


def test_a_caller_that_closed_everything_else(host: Host) -> None:
    """The socket to the maildrop's child must not get the number of standard error."""
    host.run("sendmail bob >&- 2>&-", "Subject: x\n\ny\n")
    assert host.only().body == b"y\r\n"


def test_a_program_that_speaks_smtp_to_a_child(host: Host) -> None:
    done = host.run(
        "sendmail -bs",
        "EHLO h\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n"
        "Subject: one\r\n\r\n..x\r\n.\r\n"
        "MAIL FROM:<>\r\nRCPT TO:<c@x.test>\r\nDATA\r\nSubject: two\r\n\r\n.\r\nQUIT\r\n",
    )
    assert done.stdout.count(b"250 2.0.0 Ok: queued\r\n") == 2
    first, second = dropped_in(host.maildrop)
    assert (first.sender, first.recipients, first.body) == ("a@x.test", ("b@x.test",), b".x\r\n")
    assert (second.sender, second.recipients) == ("", ("c@x.test",))


# What a caller is told


@pytest.mark.parametrize(
    ("command", "text", "status", "said"),
    [
        ("sendmail", "x\n", os.EX_USAGE, b"no recipient"),
        ("sendmail -t", "Subject: x\n\ny\n", os.EX_USAGE, b"no recipient"),
        ("sendmail -bz", "", os.EX_USAGE, b"there is no -bz"),
        ("sendmail 'a b c'", "x\n", os.EX_NOUSER, b"not an address"),
        ("sendmail -f 'a@b, c@d' bob", "x\n", os.EX_DATAERR, b"more than one sender"),
        ("sendmail -C /nowhere bob", "x\n", os.EX_CONFIG, b"no configuration"),
        ("sendmail bob", b"\n" + b"x" * 11_000_000, os.EX_UNAVAILABLE, b"larger than 10240000"),
        ("sendmail bob", b"X: " + b"x" * 200_000, os.EX_DATAERR, b"header section"),
        ("sendmail -bh", "", os.EX_OK, b""),
    ],
)
def test_statuses(host: Host, command: str, text: str | bytes, status: int, said: bytes) -> None:
    done = host.run(command, text, status)
    assert said in done.stderr
    assert dropped_in(host.maildrop) == []


def test_where_the_maildrop_is_missing_the_caller_is_to_try_again(host: Host) -> None:
    host.maildrop.rename(host.queue / "elsewhere")
    done = host.run("sendmail bob", "x\n", os.EX_TEMPFAIL)
    host.maildrop.mkdir()  # nothing is mounted there
    assert b"maildrop" in done.stderr
    done = host.run("sendmail bob", "x\n", os.EX_TEMPFAIL)
    assert b"mounted" in done.stderr


def test_where_pickup_listens_there_is_no_file(host: Host) -> None:
    with ScriptedPickup(host.queue) as pickup:
        host.run("sendmail -f alice bob carol", "Subject: x\n\ny\n")
    assert dropped_in(host.maildrop) == []
    (message,) = pickup.messages
    assert (message.sender, message.recipients) == ("alice", ["bob", "carol"])


def test_mailq_and_newaliases(host: Host) -> None:
    (host.directory / "aliases").write_text("root alice\n")
    host.run(f"newaliases -oA{host.directory}/aliases")
    assert (host.directory / "aliases.cdb").exists()
    assert host.run("mailq").stdout == b"Mail queue is empty\n"


# Deaths


def write_as(place: Place, number: int) -> None:
    """What one of a writer's many runs does, and what a caller notes when it ends with 0."""
    door = open_door(
        place, Submission("", (f"user{number}@x.test",), False, place.terms.myhostname)
    )
    door.write(b"Subject: x\r\n\r\n" + b"y" * 150_000)
    door.commit()
    door.close()


def writer(place: Place, ledger: int, numbers: range) -> int:
    """A process that sends one message after the other, and says which were acknowledged."""
    child = os.fork()
    if not child:
        try:
            for number in numbers:
                write_as(place, number)
                os.write(ledger, number.to_bytes(4, "big"))
        finally:
            os._exit(0)
    return child


def test_what_was_acknowledged_is_there_whenever_a_writer_dies(host: Host) -> None:
    """Two hosts, each with two writers of 250 messages, that are killed again and again."""
    random = Random(7)
    here = find_place(str(host.directory / "etc"))
    there = msgspec.structs.replace(
        here, terms=msgspec.structs.replace(here.terms, myhostname="other.test")
    )
    reader, ledger = os.pipe()
    acknowledged: set[int] = set()
    deaths = 0
    todo = {n: list(range(n * PER_WRITER, (n + 1) * PER_WRITER)) for n in range(4)}
    while any(todo.values()):
        for number, left in todo.items():
            if not left:
                continue
            child = writer((here, there)[number % 2], ledger, range(left[0], left[-1] + 1))
            for _ in range(min(random.randint(1, 40), len(left))):
                if not select.select([reader], [], [], 0.05 * random.random() + 0.01)[0]:
                    break
                acknowledged.add(int.from_bytes(os.read(reader, 4), "big"))
            os.kill(child, signal.SIGKILL)
            deaths += 1
            os.waitpid(child, 0)
            while select.select([reader], [], [], 0)[0]:
                acknowledged.add(int.from_bytes(os.read(reader, 4), "big"))
            # The message in hand: its sender knows nothing of it, and sends no other copy here.
            begun = max([n for n in left if n in acknowledged], default=left[0] - 1) + 1
            todo[number] = [n for n in left if n > begun]
    os.close(reader)
    os.close(ledger)
    wait_until(
        lambda: not [name for name in os.listdir(host.maildrop) if name.startswith(".")],
        "the children of the dead remove what they had begun",
    )
    arrived = [message.recipients[0] for message in dropped_in(host.maildrop)]
    assert len(arrived) == len(set(arrived))
    assert {f"user{number}@x.test" for number in acknowledged} <= set(arrived)
    assert len(arrived) <= len(acknowledged) + deaths
    assert {name.rpartition("-")[2] for name in os.listdir(host.maildrop)} == {
        "posthouse_test",
        "other_test",
    }
