import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from support.queue_files import make_envelope, new_writer

from mta.proto.envelope import Recipient
from mta.proto.status import MailError
from mta.queue.errors import QueueFileCorrupt, QueueFileIncomplete
from mta.queue.layout import path_of
from mta.queue.reader import StoredMessage
from mta.queue.store import QueueStore

LARGE = [bytes([number % 256]) * 32768 for number in range(40)]
PIECES = {"none": [], "one": [b"x"], "many small": [b"line\r\n"] * 3000, "large": LARGE}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files(root: Path) -> list[Path]:
    return [path for path in (root / "incoming").rglob("*") if path.is_file()]


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES.keys())
def test_what_was_written_is_read(queue: QueueStore, tmp_path: Path, pieces: list[bytes]) -> None:
    writer = new_writer(queue)
    for piece in pieces:
        writer.write(piece)
    writer.seal()
    writer.close()
    path = tmp_path / path_of("incoming", writer.queue_id)
    assert mode(path) == 0o700
    assert path.stat().st_size == writer.size
    with queue.open_message("incoming", writer.queue_id) as message:
        message.verify_content()
        assert message.envelope == make_envelope()
        assert b"".join(message.content()) == b"".join(pieces)
        assert message.content_length == writer.content_length


def test_a_small_message_touches_the_disk_once_it_is_whole(
    queue: QueueStore, tmp_path: Path
) -> None:
    writer = new_writer(queue)
    writer.write(b"x" * 30000)
    assert files(tmp_path) == []
    writer.discard()  # nothing to remove


def test_a_large_one_is_incomplete_until_it_is_sealed(queue: QueueStore, tmp_path: Path) -> None:
    writer = new_writer(queue)
    for piece in LARGE:
        writer.write(piece)
    assert [mode(path) for path in files(tmp_path)] == [0o600]
    with pytest.raises(QueueFileIncomplete):
        queue.open_message("incoming", writer.queue_id)
    files(tmp_path)[0].chmod(0o700)  # and it could not be taken for complete
    with pytest.raises(QueueFileCorrupt):
        queue.open_message("incoming", writer.queue_id)
    writer.discard()
    writer.discard()
    assert files(tmp_path) == []


@pytest.mark.parametrize("most", [1, 7, 4096])
def test_short_writes_are_continued(
    queue: QueueStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    def short(descriptor: int, pieces: list[Any]) -> int:
        return os.write(descriptor, bytes(pieces[0])[:most])

    def short_at(descriptor: int, data: bytes, offset: int) -> int:
        return whole(descriptor, data[:most], offset)

    whole = os.pwrite
    monkeypatch.setattr(os, "writev", short)
    monkeypatch.setattr(os, "pwrite", short_at)
    content = [b"some content"] * 600  # streamed
    writer = new_writer(queue)
    for piece in content:
        writer.write(piece)
    writer.seal()
    writer.close()
    with queue.open_message("incoming", writer.queue_id) as message:
        message.verify_content()
        assert b"".join(message.content()) == b"".join(content)


@pytest.mark.parametrize(
    ("call", "number", "status"),
    [
        ("writev", errno.ENOSPC, "452 4.3.1"),
        ("writev", errno.EDQUOT, "452 4.3.1"),
        ("writev", errno.EIO, "451 4.3.0"),
        ("open", errno.EMFILE, "451 4.3.0"),
        ("open", errno.EROFS, "451 4.3.0"),
        ("fchmod", errno.EIO, "451 4.3.0"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_failing_disk_is_a_temporary_failure_and_leaves_no_file(
    queue: QueueStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    status: str,
    streamed: bool,
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    def write_all() -> None:
        for piece in LARGE if streamed else [b"x"]:
            writer.write(piece)
        writer.seal()

    writer = new_writer(queue)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(MailError, match=status) as failure:
            write_all()
    assert os.strerror(number) in failure.value.reason
    assert files(tmp_path) == []


def test_a_name_that_is_taken_is_left_alone(queue: QueueStore, tmp_path: Path) -> None:
    writer = new_writer(queue)
    path = tmp_path / path_of("incoming", writer.queue_id)
    path.write_bytes(b"somebody's")
    with pytest.raises(MailError, match=r"4\.3\.0"):
        writer.seal()
    assert path.read_bytes() == b"somebody's"


def test_an_envelope_that_no_file_can_hold(
    queue: QueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mta.queue.writer.ENVELOPE_LIMIT", 1000)
    recipients = tuple(Recipient("a@b.example", "a@b.example") for _ in range(100))
    envelope = make_envelope(0)
    many = type(envelope)(envelope.sender, recipients, envelope.origin, 1.0, body_8bit=False)
    with pytest.raises(MailError, match=r"552 5\.5\.3"):
        new_writer(queue, many)


def test_a_large_envelope_is_read_whole(queue: QueueStore) -> None:
    writer = new_writer(queue, make_envelope(5000))
    writer.write(b"x" * 100_000)
    writer.seal()
    writer.close()
    with queue.open_message("incoming", writer.queue_id) as message:
        message.verify_content()
        assert message.envelope == make_envelope(5000)


def test_a_closed_message_is_closed_once(queue: QueueStore) -> None:
    writer = new_writer(queue)
    writer.seal()
    writer.close()
    message: StoredMessage = queue.open_message("incoming", writer.queue_id)
    message.close()
    message.close()
    assert message.descriptor == -1
