"""Mail of this host's own programs, from sendmail to the mailbox: by pickup, or by a file.

The same command, whoever listens: the message is in the queue when it ends, or waits as a file.
"""

import os
import subprocess
from pathlib import Path

import pytest
from support.classic_programs import install_programs
from support.instance import DOMAIN, Instance, NewInstance
from support.waiting import wait_until

TEXT = b"Subject: from here\n\nHello\n.\nnot the end\n"


class House:
    """A system, and the programs that its users call."""

    def __init__(self, instance: Instance, folder: Path) -> None:
        self.instance = instance
        self.bin = folder / "bin"
        install_programs(self.bin, instance.config)

    def run(self, *command: str, text: bytes = TEXT) -> subprocess.CompletedProcess[bytes]:
        """Run one of the programs, as the user that this test is."""
        program, *arguments = command
        done = subprocess.run(
            [self.bin / program, *arguments],
            input=text,
            capture_output=True,
            check=False,
            timeout=60,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )
        assert done.returncode == 0, done.stderr.decode()
        return done


@pytest.fixture
def house(new_instance: NewInstance, short_path: Path) -> House:
    return House(new_instance(), short_path)


def test_the_queue_has_it_when_sendmail_ends(house: House) -> None:
    house.instance.start()
    house.run("sendmail", "-i", "-f", "alice@example.org", f"bob@{DOMAIN}")
    committed = house.instance.wait_log("committed")  # the log is another process's
    delivered = house.instance.maildir("bob").only()
    assert delivered.fields("Return-Path") == ["<alice@example.org>"]
    assert delivered.fields("Subject") == ["from here"]
    assert delivered.octets.endswith(b"\n\nHello\n.\nnot the end\n")
    (received,) = delivered.fields("Received")
    assert f"from userid {os.geteuid()}" in received
    assert committed["queue_id"] in received


def test_recipients_are_those_of_the_header(house: House) -> None:
    house.instance.start()
    header = f"From: Alice <alice>\nTo: bob@{DOMAIN}\nBcc: carol@{DOMAIN}\n\nHi\n"
    house.run("sendmail", "-t", text=header.encode())
    for user in ("bob", "carol"):
        delivered = house.instance.maildir(user).only()
        assert delivered.fields("Bcc") == []
        assert delivered.fields("From") == [f"Alice <alice@{DOMAIN}>"]


def test_a_file_waits_until_there_is_a_system(house: House) -> None:
    house.instance.mta("render")
    house.run("sendmail", f"bob@{DOMAIN}")
    maildrop = house.instance.queue / "maildrop"
    assert len(list(maildrop.iterdir())) == 1
    house.instance.start()
    house.instance.maildir("bob").only(timeout=20)
    wait_until(lambda: not list(maildrop.iterdir()), "an empty maildrop")


def test_mailq_shows_what_waits(house: House) -> None:
    house.instance.configure({"virtual_transport": "error:4.2.0 later"})
    house.instance.start()
    assert house.run("mailq").stdout == b"Mail queue is empty\n"
    house.run("sendmail", "-f", "alice@example.org", f"bob@{DOMAIN}")
    house.instance.wait_log("deferred")
    shown = house.run("mailq").stdout.decode()
    assert f"bob@{DOMAIN}" in shown
    assert "alice@example.org" in shown
    assert shown.endswith("in 1 Request.\n")
