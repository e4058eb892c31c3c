"""Whatever happens to a queue file, it reads as it was written or it is corrupt: nothing else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.queue_files import ARRIVED, CONTENT, enqueue, make_envelope

from mta.proto.envelope import Envelope
from mta.proto.status import Disposition, Status
from mta.queue.errors import QueueFileCorrupt
from mta.queue.format import VERSION
from mta.queue.journal import Attempted, Retry
from mta.queue.layout import path_of
from mta.queue.store import QueueStore

DELIVERED = Attempted(ARRIVED, 0, Disposition.DELIVERED, Status(250, "2.0.0", "Ok"), "virtual")
WAITING = Retry(ARRIVED, 1, ARRIVED + 300, "450 4.2.0 mailbox busy")


@pytest.fixture
def queue_id(queue: QueueStore) -> str:
    return enqueue(queue)


@pytest.fixture
def path(tmp_path: Path, queue_id: str) -> Path:
    return tmp_path / path_of("incoming", queue_id)


@contextmanager
def contents(path: Path, data: bytes) -> Iterator[None]:
    whole = path.read_bytes()
    path.write_bytes(data)
    yield
    path.write_bytes(whole)


def read(queue: QueueStore, queue_id: str) -> tuple[Envelope, bytes] | None:
    """Envelope and content, or None where the file was found corrupt."""
    try:
        with queue.open_message("incoming", queue_id) as message:
            message.verify_content()
            return message.envelope, b"".join(message.content())
    except QueueFileCorrupt:
        return None


def test_truncated_at_every_length(queue: QueueStore, queue_id: str, path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        with contents(path, whole[:length]):
            assert read(queue, queue_id) is None, length


def test_every_octet_flipped(queue: QueueStore, queue_id: str, path: Path) -> None:
    queue.append_log("incoming", queue_id, [DELIVERED, WAITING])
    whole = path.read_bytes()
    body = len(whole) - len(_journal(queue, queue_id, whole))
    for position in range(len(whole)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[position] ^= mask
            with contents(path, bytes(damaged)):
                found = read(queue, queue_id)
            expected = None if position < body else (make_envelope(), CONTENT)
            assert found == expected, (position, mask)


def _journal(queue: QueueStore, queue_id: str, whole: bytes) -> bytes:
    with queue.open_message("incoming", queue_id) as message:
        assert message.done == {0}
        assert message.attempts == 1
    return whole[whole.index(b"\xf1PHJ") :]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_octets_cut_put_in_or_exchanged(
    queue: QueueStore, queue_id: str, path: Path, data: st.DataObject
) -> None:
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    damaged = whole[:start] + data.draw(st.binary(max_size=64)) + whole[end:]
    with contents(path, damaged):
        found = read(queue, queue_id)
    # What follows a whole body is at worst a damaged journal.
    assert found == ((make_envelope(), CONTENT) if damaged.startswith(whole) else None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=2000))
def test_octets_that_nobody_of_us_wrote(
    queue: QueueStore, queue_id: str, path: Path, junk: bytes
) -> None:
    for data in (junk, b"PHQ\x01" + junk):
        with contents(path, data):
            assert read(queue, queue_id) is None


def test_a_newer_version_waits_for_its_release(
    queue: QueueStore, queue_id: str, path: Path
) -> None:
    whole = bytearray(path.read_bytes())
    whole[3] = VERSION + 1
    path.write_bytes(whole)
    with pytest.raises(QueueFileCorrupt, match="newer version"):
        queue.open_message("incoming", queue_id)


def test_a_file_under_the_name_of_another(queue: QueueStore, queue_id: str, path: Path) -> None:
    other = enqueue(queue)
    os.replace(path, path.parent.parent / other[-1] / other)
    with pytest.raises(QueueFileCorrupt, match="is the queue file"):
        queue.open_message("incoming", other)
