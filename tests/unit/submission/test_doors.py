"""The two ways out: a message is on stable storage, or its sender knows that it is not."""

import contextlib
import os
import threading
from pathlib import Path

import pytest
from support.dropped import dropped_in
from support.scripted_pickup import QUEUE_ID, ReceivedMessage, ScriptedPickup
from support.waiting import wait_until

from mta.ipc.messages import Committed, Goodbye, Message, Refused
from mta.proto.status import Status
from mta.queue.maildrop import Submission
from mta.queue.maildrop_writer import MaildropWriter
from mta.submission.doors import Door
from mta.submission.errors import SubmissionError
from mta.submission.maildrop import MaildropDoor
from mta.submission.pickup import PickupDoor

TIMEOUT = 20.0
SHORT = 0.05
BOB = Submission("alice", ("bob@x.test",), False, "h")
MANY = Submission("alice", tuple(f"user{n}@x.test" for n in range(101)), True, "h")
HEAD = b"Subject: x\r\n\r\n"


def go_through(door: Door, *pieces: bytes) -> None:
    try:
        for piece in pieces:
            door.write(piece)
        door.commit()
    finally:
        door.close()


def pickup_door(queue: Path, submission: Submission = BOB, timeout: float = TIMEOUT) -> PickupDoor:
    """The door to pickup; the other one is the maildrop in the same folder."""
    maildrop = str(queue / "maildrop")
    return PickupDoor(
        str(queue), submission, timeout, lambda: MaildropDoor(maildrop, submission, timeout)
    )


def through_pickup(queue: Path, *pieces: bytes, submission: Submission = BOB) -> None:
    go_through(pickup_door(queue, submission), *pieces)


@pytest.fixture
def maildrop(tmp_path: Path) -> Path:
    folder = tmp_path / "maildrop"
    folder.mkdir()
    folder.chmod(0o3733)
    return folder


# pickup


@pytest.mark.parametrize("submission", [BOB, MANY])
@pytest.mark.parametrize("body", [b"", b"y\r\n", b"z" * 100_000, b"z" * 3_000_000])
def test_pickup_gets_all_of_it(tmp_path: Path, submission: Submission, body: bytes) -> None:
    with ScriptedPickup(tmp_path) as pickup:
        through_pickup(tmp_path, HEAD, body, submission=submission)
    (message,) = pickup.messages
    assert message.sender == "alice"
    assert tuple(message.recipients) == submission.recipients
    assert message.content == HEAD + body
    assert message.body_8bit == submission.body_8bit


def test_the_queue_directory_may_lie_deep(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 150) / "queue"
    deep.mkdir(parents=True)
    here = os.open(deep, os.O_RDONLY)
    with ScriptedPickup(Path(f"/proc/self/fd/{here}")) as pickup:
        through_pickup(deep, HEAD)
    os.close(here)
    assert len(pickup.messages) == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status(452, "4.3.1", "No space"), os.EX_TEMPFAIL),
        (Status(552, "5.3.4", "Too large"), os.EX_UNAVAILABLE),
        (Status(550, "5.1.1", "No such user"), os.EX_NOUSER),
        (Status(550, "5.7.1", "No"), os.EX_NOPERM),
        (Status(550, "5.6.0", "No"), os.EX_DATAERR),
    ],
)
def test_a_refusal_is_told(tmp_path: Path, status: Status, expected: int) -> None:
    def refuse(_: ReceivedMessage) -> Message:
        return Refused(status)

    with ScriptedPickup(tmp_path, refuse), pytest.raises(SubmissionError) as caught:
        through_pickup(tmp_path, HEAD)
    assert caught.value.status == expected
    assert status.text in str(caught.value)


def test_an_answer_that_does_not_come_is_a_temporary_failure(tmp_path: Path) -> None:
    def die(_: ReceivedMessage) -> None:
        return None

    with ScriptedPickup(tmp_path, die), pytest.raises(SubmissionError) as caught:
        through_pickup(tmp_path, HEAD)
    assert caught.value.status == os.EX_TEMPFAIL


def test_who_waits_for_pickup_waits_within_bounds(tmp_path: Path) -> None:
    heard = threading.Event()

    def wait(_: ReceivedMessage) -> Message:
        assert heard.wait(TIMEOUT)
        return Committed(QUEUE_ID)

    with ScriptedPickup(tmp_path, wait):
        with pytest.raises(SubmissionError, match="no answer") as caught:
            go_through(pickup_door(tmp_path, timeout=SHORT), HEAD)
        heard.set()
    assert caught.value.status == os.EX_TEMPFAIL


@pytest.mark.parametrize("body", [b"", b"z" * 300_000])
def test_when_a_pickup_retires_the_next_one_has_the_message(tmp_path: Path, body: bytes) -> None:
    with ScriptedPickup(tmp_path, greetings=(Goodbye(0), Goodbye(0))) as pickup:
        through_pickup(tmp_path, HEAD, body)
    assert [message.content for message in pickup.messages] == [HEAD + body]


@pytest.mark.parametrize("submission", [BOB, MANY])
@pytest.mark.parametrize("body", [b"", b"z" * 300_000])
def test_when_no_pickup_has_a_place_it_becomes_a_file(
    tmp_path: Path, maildrop: Path, submission: Submission, body: bytes
) -> None:
    """All of it, also what was said before: this user has too many messages under way."""
    with ScriptedPickup(tmp_path, greetings=(Goodbye(0),) * 10) as pickup:
        through_pickup(tmp_path, HEAD, body, b"the end\r\n", submission=submission)
    assert pickup.messages == []
    (message,) = dropped_in(maildrop)
    assert (message.sender, message.recipients) == (submission.sender, submission.recipients)
    assert message.content == HEAD + body + b"the end\r\n"


def test_who_gives_up_at_the_other_door_leaves_nothing(tmp_path: Path, maildrop: Path) -> None:
    with ScriptedPickup(tmp_path, greetings=(Goodbye(0),) * 10):
        door = pickup_door(tmp_path)
        door.write(b"z" * 300_000)
        door.close()
    wait_until(lambda: not os.listdir(maildrop), "the child removes its file")


def test_what_pickup_has_looked_at_goes_nowhere_else(tmp_path: Path, maildrop: Path) -> None:
    """It may have it: another copy would be a second message."""

    def die(_: ReceivedMessage) -> None:
        return None

    with ScriptedPickup(tmp_path, die), pytest.raises(SubmissionError, match="lost"):
        through_pickup(tmp_path, HEAD)
    assert os.listdir(maildrop) == []


def test_without_a_listener_there_is_no_such_door(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pickup_door(tmp_path)
    ScriptedPickup(tmp_path).__exit__()
    with pytest.raises(ConnectionRefusedError):
        pickup_door(tmp_path)


# The maildrop


@pytest.mark.parametrize("body", [b"", b"y\r\n", b"z" * 3_000_000])
def test_the_maildrop_gets_all_of_it(maildrop: Path, body: bytes) -> None:
    go_through(MaildropDoor(str(maildrop), MANY, TIMEOUT), HEAD, body)
    (message,) = dropped_in(maildrop)
    assert (message.sender, message.recipients) == (MANY.sender, MANY.recipients)
    assert message.content == HEAD + body


def test_what_is_not_committed_is_not_there(maildrop: Path) -> None:
    door = MaildropDoor(str(maildrop), BOB, TIMEOUT)
    door.write(HEAD)
    door.close()
    wait_until(lambda: not os.listdir(maildrop), "the child removes its file")


def test_a_folder_that_is_no_maildrop_gets_nothing(tmp_path: Path) -> None:
    """Nothing is mounted there: root could write, and nobody would ever look."""
    with pytest.raises(SubmissionError, match="mounted") as caught:
        go_through(MaildropDoor(str(tmp_path), BOB, TIMEOUT), HEAD)
    assert caught.value.status == os.EX_TEMPFAIL
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_a_temporary_failure(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="No such file") as caught:
        go_through(MaildropDoor(str(tmp_path / "none"), BOB, TIMEOUT), HEAD)
    assert caught.value.status == os.EX_TEMPFAIL


class Hang:
    """A file server that is away: whoever calls `wait` is there until it is back.

    A FIFO that is opened by its path: a child that holds nothing open gets there all the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        os.mkfifo(path)

    def wait(self) -> None:
        self._path.read_bytes()

    def end(self) -> None:
        self._path.write_bytes(b"")


@pytest.fixture
def hang(tmp_path: Path) -> Hang:
    return Hang(tmp_path / "hang")


@pytest.mark.parametrize("step", ["__init__", "write", "seal", "publish"])
@pytest.mark.parametrize("body", [b"", b"z" * 3_000_000])
def test_a_file_server_that_is_away_stops_nobody(
    maildrop: Path, hang: Hang, step: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it takes later, when its sender was told that it failed, is taken back."""
    real = getattr(MaildropWriter, step)

    def late(writer: MaildropWriter, *arguments: object) -> None:
        hang.wait()
        monkeypatch.undo()
        real(writer, *arguments)

    monkeypatch.setattr(MaildropWriter, step, late)
    door = MaildropDoor(str(maildrop), BOB, SHORT)
    with pytest.raises(SubmissionError, match="no answer within") as caught:
        go_through(door, HEAD, body)
    assert caught.value.status == os.EX_TEMPFAIL
    hang.end()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(door.child, 0)
    assert os.listdir(maildrop) == []


def test_a_full_disk_is_told(maildrop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MaildropWriter, "write", fail)
    with pytest.raises(SubmissionError, match="No space left") as caught:
        go_through(MaildropDoor(str(maildrop), BOB, TIMEOUT), HEAD, b"z" * 3_000_000)
    assert caught.value.status == os.EX_TEMPFAIL
    assert os.listdir(maildrop) == []
