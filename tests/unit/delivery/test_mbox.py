"""An mbox as its reader sees it: whole messages, one after the other, whatever fails or waits."""

import errno
import fcntl
import mailbox
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery.failures import FULL
from mta.delivery.mailbox_locks import Lock, Patience
from mta.delivery.mbox import append_to_mbox, from_line, mbox_form
from mta.proto.status import MailError

HURRIED = Patience(longest=0.05, pause=0.01)
FROM = re.compile(rb"From (\S+)  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def append(
    folder: int,
    *pieces: bytes,
    sender: str = "ann@example.org",
    limit: int = 0,
    locks: Iterable[Lock] = ("fcntl", "dotlock"),
    patience: Patience = HURRIED,
) -> None:
    append_to_mbox(folder, "bob", sender, pieces, limit, locks, patience)


def refusal(folder: int, *pieces: bytes, limit: int = 0, locks: Iterable[Lock] = ()) -> str:
    with pytest.raises(MailError) as failure:
        append(folder, *pieces, limit=limit, locks=locks)
    return f"{failure.value.status.code} {failure.value.status.enhanced}"


def test_the_form(folder: int, tmp_path: Path) -> None:
    append(folder, b"A: 1\n\nFrom here\n>From there\nFromage\n", b"From", b" here\nend")
    written = (tmp_path / "bob").read_bytes()
    first, rest = written[: written.index(b"\n") + 1], written[written.index(b"\n") + 1 :]
    found = FROM.fullmatch(first)
    assert found is not None
    assert found[1] == b"ann@example.org"
    assert rest == (b"A: 1\n\n>From here\n>From there\nFromage\n>From here\nend\n\n")
    assert (tmp_path / "bob").stat().st_mode & 0o7777 == 0o600
    assert os.listdir(tmp_path) == ["bob"]


def test_the_null_sender(folder: int, tmp_path: Path) -> None:
    append(folder, b"A: 1\n\nhi\n", sender="")
    assert (tmp_path / "bob").read_bytes().startswith(b"From MAILER-DAEMON  ")


def in_one(content: bytes) -> bytes:
    """The form, by the definition."""
    lines = content.split(b"\n")
    quoted = b"\n".join(b">" + line if line.startswith(b"From ") else line for line in lines)
    return quoted + (b"\n" if quoted.endswith(b"\n") or not quoted else b"\n\n")


@given(st.lists(st.sampled_from([b"\n", b"F", b"From ", b"rom ", b"From", b"x", b" ", b""])))
def test_any_division_into_pieces_gives_the_same(pieces: list[bytes]) -> None:
    assert b"".join(mbox_form(pieces)) == in_one(b"".join(pieces))


def test_a_python_mailbox_reads_what_many_wrote_at_once(folder: int, tmp_path: Path) -> None:
    """Threads of one process, too, keep each other out."""

    def write(number: int) -> None:
        pieces = [b"Subject: %d\n\n" % number, *[b"%d\n" % number * 30_000] * 3]
        append(folder, *pieces, patience=Patience())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    with closing(mailbox.mbox(tmp_path / "bob", create=False)) as found:
        assert sorted(int(message["Subject"]) for message in found) == list(range(24))
        for message in found:
            assert set(str(message.get_payload()).split()) == {message["Subject"]}


def test_what_a_killed_delivery_left_is_parted_from_the_next(folder: int, tmp_path: Path) -> None:
    (tmp_path / "bob").write_bytes(from_line("x@y") + b"A: 1\n\nhalf a li")
    append(folder, b"Subject: whole\n\nhi\n")
    with closing(mailbox.mbox(tmp_path / "bob", create=False)) as found:
        assert [message["Subject"] for message in found] == [None, "whole"]


def test_a_failure_leaves_what_was_there(folder: int, tmp_path: Path) -> None:
    append(folder, b"A: 1\n\nhi\n")
    before = (tmp_path / "bob").read_bytes()

    def breaks() -> Iterator[bytes]:
        yield b"x" * 300_000
        raise MailError(FULL, "as it were")

    with pytest.raises(MailError):
        append_to_mbox(folder, "bob", "", breaks(), 0, ("fcntl", "dotlock"))
    assert (tmp_path / "bob").read_bytes() == before
    assert os.listdir(tmp_path) == ["bob"]


def test_a_full_disk(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(folder, b"A: 1\n\nhi\n")
    before = (tmp_path / "bob").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert refusal(folder, b"A: 2\n\nho\n") == "452 4.3.1"
    assert (tmp_path / "bob").read_bytes() == before


def test_the_limit_counts_the_whole_mailbox(folder: int, tmp_path: Path) -> None:
    append(folder, b"x" * 500, limit=1000)
    before = (tmp_path / "bob").read_bytes()
    assert refusal(folder, b"x" * 500, limit=1000) == "552 5.2.2"
    assert (tmp_path / "bob").read_bytes() == before


def make_link(path: Path) -> None:
    path.symlink_to("elsewhere")


def make_second_name(path: Path) -> None:
    (path.parent / "elsewhere").touch(0o600)
    path.hardlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize("make", [make_link, make_second_name, Path.mkdir, os.mkfifo])
def test_what_is_no_mailbox_is_left_alone(folder: int, tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "bob")
    refused = refusal(folder, b"x")
    assert refused in ("451 4.2.0", "451 4.3.0")
    elsewhere = tmp_path / "elsewhere"
    assert not elsewhere.exists() or elsewhere.read_bytes() == b""


@pytest.mark.requires("root")
def test_a_mailbox_of_another_user(folder: int, tmp_path: Path) -> None:
    (tmp_path / "bob").touch()
    os.chown(tmp_path / "bob", 1, 1)
    assert refusal(folder, b"x") == "451 4.2.0"


@pytest.mark.parametrize("lock", ["fcntl", "flock", "dotlock"])
def test_a_locked_mailbox_is_a_deferral(folder: int, tmp_path: Path, lock: Lock) -> None:
    with Holder(tmp_path / "bob", lock):
        assert refusal(folder, b"x", locks=(lock,)) == "451 4.2.0"
    append(folder, b"x\n", locks=(lock,))
    assert (tmp_path / "bob").read_bytes().endswith(b"\nx\n\n")


class Holder:
    """A mail reader in another process, which has the lock of a mailbox."""

    SCRIPT = """
import fcntl, os, sys
file = open(sys.argv[1], "a")
if sys.argv[2] == "dotlock":
    os.open(sys.argv[1] + ".lock", os.O_CREAT | os.O_EXCL)
elif sys.argv[2] == "fcntl":
    fcntl.lockf(file, fcntl.LOCK_EX)
else:
    fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
if sys.argv[2] == "dotlock":
    os.unlink(sys.argv[1] + ".lock")
"""

    def __init__(self, path: Path, lock: Lock) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.SCRIPT, path, lock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"locked\n"

    def __exit__(self, *_: object) -> None:
        self._process.communicate(b"")


def test_the_record_lock_keeps_other_programs_out(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a message is flushed, a program that asks for the classic fcntl lock is refused."""
    seen = []
    ask = (
        "import fcntl,sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX|fcntl.LOCK_NB)"
    )

    def look(descriptor: int) -> None:
        path = tmp_path / "bob"
        command = [sys.executable, "-c", ask, str(path)]
        asked = subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
        seen.append(asked.returncode)
        seen.append((tmp_path / "bob.lock").exists())

    monkeypatch.setattr(os, "fsync", look)
    append(folder, b"x\n")
    assert seen[:2] == [1, True]


def test_an_old_lock_file_is_void(folder: int, tmp_path: Path) -> None:
    lock = tmp_path / "bob.lock"
    lock.touch()
    os.utime(lock, (time.time() - 501, time.time() - 501))
    append(folder, b"x\n", locks=("dotlock",))
    assert os.listdir(tmp_path) == ["bob"]


def test_a_mailbox_replaced_while_we_waited(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail reader writes a new file and renames it: what went into the old one would be lost."""
    append(folder, b"x\n")
    real = fcntl.flock

    def replace(descriptor: int, operation: int) -> None:
        (tmp_path / "new").touch(0o600)
        (tmp_path / "new").rename(tmp_path / "bob")
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", replace)
    assert refusal(folder, b"y\n", locks=("flock",)) == "451 4.2.0"
    assert (tmp_path / "bob").read_bytes() == b""
