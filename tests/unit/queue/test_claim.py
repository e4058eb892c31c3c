"""A queue file locked for one: who else is kept out, and what is noticed."""

import fcntl
from pathlib import Path

import pytest
from support.queue_files import ARRIVED, enqueue

from mta.proto.status import Disposition, Status
from mta.queue.claim import claimed
from mta.queue.errors import QueueFileBusy, QueueFileMissing
from mta.queue.journal import Attempted
from mta.queue.reader import StoredMessage
from mta.queue.store import QueueStore

DELIVERED = Attempted(ARRIVED, 0, Disposition.DELIVERED, Status(250, "2.0.0", "Ok"), "virtual")


def test_a_claim_keeps_everybody_else_out_until_its_end(queue: QueueStore) -> None:
    queue_id = enqueue(queue)
    with claimed(queue, "incoming", queue_id) as message:
        assert message.queue_id == queue_id
        with pytest.raises(QueueFileBusy), claimed(queue, "incoming", queue_id):
            pass
    with claimed(queue, "incoming", queue_id):
        pass


def test_a_claim_outlives_the_move(queue: QueueStore) -> None:
    queue_id = enqueue(queue)
    with claimed(queue, "incoming", queue_id):
        queue.move(queue_id, "incoming", "hold")
        with pytest.raises(QueueFileBusy), claimed(queue, "hold", queue_id):
            pass


@pytest.mark.parametrize("kind", [fcntl.LOCK_SH, fcntl.LOCK_EX])
def test_what_is_worked_on_cannot_be_claimed(queue: QueueStore, kind: int) -> None:
    """The queue manager and its agents share a lock; a writer has one alone."""
    queue_id = enqueue(queue)
    with queue.open_message("incoming", queue_id) as opened:
        fcntl.flock(opened.descriptor, kind)
        with pytest.raises(QueueFileBusy), claimed(queue, "incoming", queue_id):
            pass


def test_no_such_message(queue: QueueStore) -> None:
    with pytest.raises(QueueFileMissing), claimed(queue, "incoming", "B" * 22):
        pass


def test_the_message_is_read_as_it_is_under_the_lock(
    queue: QueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery may end between the opening of the file and its lock."""
    queue_id = enqueue(queue)

    def lock(_descriptor: int, _operation: int) -> None:
        queue.append_log("incoming", queue_id, [DELIVERED])

    monkeypatch.setattr(fcntl, "flock", lock)
    with claimed(queue, "incoming", queue_id) as message:
        assert message.done == {0}


def test_a_name_that_leads_elsewhere_by_then_is_no_claim(
    queue: QueueStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = enqueue(queue)
    opened: list[StoredMessage] = []
    really_open = queue.open_message

    def open_and_replace(state: str, name: str) -> StoredMessage:
        assert state == "incoming"
        message = really_open("incoming", name)
        if not opened:
            path = next(tmp_path.rglob(queue_id))
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
            path.chmod(0o700)
        opened.append(message)
        return message

    monkeypatch.setattr(queue, "open_message", open_and_replace)
    with pytest.raises(QueueFileMissing), claimed(queue, "incoming", queue_id):
        pass
