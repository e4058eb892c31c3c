"""The instruments of the system tests measure what they say."""

import signal
import subprocess
from pathlib import Path

import pytest
from support.dialogue import dot_stuffed
from support.maildir import Delivered
from support.processes import kill, processes_in
from support.waiting import wait_until


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"", b"\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n..c\r\n", b"a\r\n..b\r\n...c\r\n.\r\n"),
        (b"a\r\n\r\n", b"a\r\n\r\n.\r\n"),
    ],
)
def test_dots_are_stuffed(message: bytes, sent: bytes) -> None:
    assert dot_stuffed(message) == sent


def test_processes_are_found_by_their_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {"PATH": "/usr/bin:/bin", "SUPERVISOR_GROUP_NAME": "row"}
    with (
        subprocess.Popen(["sleep", "60"], cwd=tmp_path, env=environment) as ours,
        subprocess.Popen(["sleep", "60"], cwd=elsewhere, env=environment) as other,
    ):
        try:
            # Before its exec the child is there already, and still bears our own command line.
            wanted = ("sleep", "60")
            (found,) = wait_until(
                lambda: [it for it in processes_in(tmp_path) if it.command == wanted], "the process"
            )
            assert (found.pid, found.service) == (ours.pid, "row")
            kill(found, signal.SIGTERM)
            # A zombie is no process: nobody has waited for it yet.
            wait_until(lambda: not processes_in(tmp_path), "its end", 5.0)
        finally:
            ours.kill()
            other.kill()


def test_header_fields_are_unfolded(tmp_path: Path) -> None:
    file = tmp_path / "message"
    file.write_bytes(b"Received: from a\n\tby b\nSubject: x\nreceived: second\n\nSubject: body\n")
    delivered = Delivered(file)
    assert delivered.fields("Received") == ["from a by b", "second"]
    assert delivered.fields("Subject") == ["x"]


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.1 s in vain for spring; last seen: 0"):
        wait_until(lambda: 0, "spring", 0.1)
