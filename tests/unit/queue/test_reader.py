"""How a queue file is read."""

import os

import pytest
from support.queue_files import CONTENT, enqueue

from mta.queue.store import QueueStore


@pytest.mark.parametrize("size", [0, 100, 100_000])
def test_no_more_is_asked_for_than_there_is(
    queue: QueueStore, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Buffers of 16 KiB that shrank to a small message made daemons grow by megabytes an hour."""
    queue_id = enqueue(queue, CONTENT + b"x" * size)
    reads: list[tuple[int, int]] = []

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        data = original(descriptor, length, offset)
        reads.append((length, len(data)))
        return data

    original = os.pread
    monkeypatch.setattr(os, "pread", pread)
    with queue.open_message("incoming", queue_id) as message:
        message.verify_content()
    assert reads
    assert [asked for asked, _ in reads] == [got for _, got in reads]
