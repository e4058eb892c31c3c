"""What ordinary users of a host get from mailq and sendmail -q, and whether they may send."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from support.classic_programs import install_programs
from support.folders import reachable_folder
from support.instance import DOMAIN, Instance
from support.users import STRANGER, identity
from support.waiting import wait_until

pytestmark = pytest.mark.requires("root")

TEXT: Final = b"Subject: from here\n\nHello\n"
# The lines as mailqfmt.pl of Debian's postfix-doc reads them, with ids of enable_long_queue_ids.
MESSAGE: Final = re.compile(
    r"([0-9A-Za-z]+)\s*([ !*])\s+(\d+)\s+(\S+\s+\S+\s+\d+\s+\d+:\d+:\d+)\s+(.+)"
)
REASON: Final = re.compile(r"\s*\((.+)\)")
RECIPIENT: Final = re.compile(r"\s+(.+)")
TRAILER: Final = re.compile(r"-- \d+ Kbytes in (\d+) Requests?\.")
SUSPENDED: Final = {"virtual_transport": "error:4.2.0 later", "minimal_backoff_time": "1h"}


class House:
    """A system whose mail waits, and the programs that users call."""

    def __init__(self, folder: Path) -> None:
        self.instance = Instance(folder / "house", SUSPENDED)
        self._bin = folder / "bin"
        install_programs(self._bin, self.instance.config)

    def run(self, user: str, command: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run one of the programs as a user of this host."""
        uid, gid, groups = identity(user)
        return subprocess.run(
            [self._bin / command, *arguments],
            user=uid,
            group=gid,
            extra_groups=groups,
            input=TEXT,
            capture_output=True,
            check=False,
            timeout=60,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )

    def permit(self, *patterns: str) -> None:
        """Put other lists of users in force."""
        names = ("mailq", "flush", "submit")
        self.instance.configure({f"authorized_{name}_users": [*patterns] for name in names})
        self.instance.reload()


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with reachable_folder() as folder:
        made = House(folder)
        try:
            made.instance.start()
            for user in ("bob", "carol"):
                done = made.run("nobody", "sendmail", "-f", "alice@example.org", f"{user}@{DOMAIN}")
                assert done.returncode == 0, done.stderr
            wait_until(lambda: len(made.instance.messages("deferred")) == 2, "two that wait")
            yield made
        finally:
            made.instance.close()


@pytest.mark.parametrize("user", ["nobody", STRANGER, "root"])
def test_everybody_sees_the_queue(house: House, user: str) -> None:
    """In the form that Postfix's has, for programs take it apart."""
    done = house.run(user, "mailq")
    assert (done.returncode, done.stderr) == (0, b"")
    head, *lines, last = done.stdout.decode().splitlines()
    assert head.startswith("-Queue ID-")
    blocks = [block.splitlines() for block in "\n".join(lines).split("\n\n")]
    for (first, reason, recipient), name in zip(blocks, ("bob", "carol"), strict=True):
        assert (found := MESSAGE.fullmatch(first))
        assert found[5] == "alice@example.org"
        assert (told := REASON.fullmatch(reason))
        assert "later" in told[1]
        assert (to := RECIPIENT.fullmatch(recipient))
        assert to[1] == f"{name}@{DOMAIN}"
    assert (count := TRAILER.fullmatch(last))
    assert count[1] == "2"


def test_both_ways_of_mailq_say_the_same(house: House) -> None:
    asked = house.run("nobody", "sendmail", "-bp").stdout
    assert asked == house.run("root", "mailq").stdout


def attempts(house: House) -> int:
    return len(house.instance.log_records("deferred"))


@pytest.mark.parametrize("user", ["nobody", STRANGER])
def test_everybody_may_have_mail_tried(house: House, user: str) -> None:
    queue_id = house.instance.messages("deferred")[0].name
    for arguments, count in (
        (("-q",), 2),
        ((f"-qI{queue_id}",), 1),
        ((f"-qR{DOMAIN}",), 2),
        (("-qRelsewhere.test",), 0),
    ):
        wait_until(lambda: len(house.instance.messages("deferred")) == 2, "both at rest")
        before = attempts(house)
        done = house.run(user, "sendmail", *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{count} ".encode())
        wait_until(lambda: attempts(house) >= before + count, "the attempts")  # noqa: B023
    assert house.run(user, "sendmail", "-qI" + "B" * 22).returncode == 66


def test_who_may_not(house: House) -> None:
    """And root may, whatever the lists say; who may not send hears it at once."""
    house.permit("!nobody", "static:anyone")
    try:
        for arguments, act in (
            (("mailq",), "view the mail queue"),
            (("sendmail", "-q"), "flush the mail queue"),
            (("sendmail", f"-qR{DOMAIN}"), "flush the mail queue"),
            (("sendmail", f"bob@{DOMAIN}"), "submit mail"),
        ):
            done = house.run("nobody", *arguments)
            told = done.stderr.decode()
            assert f"User nobody({identity('nobody')[0]}) is not allowed to {act}" in told
            assert (done.returncode, done.stdout) == (77, b"")
            assert house.run(STRANGER, arguments[0], "-bp").returncode == 0
            assert house.run("root", arguments[0], "-bp").returncode == 0
    finally:
        house.permit("static:anyone")


def test_no_system(house: House) -> None:
    """Root is told so, and sees the queue; others are told so."""
    house.instance.stop()
    try:
        done = house.run("nobody", "mailq")
        assert (done.returncode, done.stdout) == (69, b"")
        assert b"Queue report unavailable - mail system is down" in done.stderr
        assert house.run("nobody", "sendmail", "-q").returncode == 69
        done = house.run("root", "mailq")
        assert (done.returncode, done.stdout[-12:]) == (0, b" 2 Requests.\n"[1:])
        assert b"Mail system is down -- accessing queue directly" in done.stderr
    finally:
        house.instance.start()
