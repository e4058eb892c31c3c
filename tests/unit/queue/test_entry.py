"""What a list says of the queue's messages, and in which order."""

import os

import pytest
from support.queue_files import enqueue

from mta.queue.entry import oldest_first
from mta.queue.layout import State, path_of
from mta.queue.store import QueueStore

STATES: tuple[State, ...] = ("incoming", "deferred", "hold")


@pytest.mark.parametrize("window", [1, 2, 7, 8, 100])
def test_each_message_once_by_age(queue: QueueStore, window: int) -> None:
    """However few ids are remembered at a time, and whatever state they are in."""
    ids = [enqueue(queue) for _ in range(7)]
    for index, queue_id in enumerate(ids):
        if index % 3:
            queue.move(queue_id, "incoming", STATES[index % 3])
    found = list(oldest_first(queue, window=window))
    assert [entry.queue_id for entry in found] == sorted(ids)
    assert {entry.queue_id: entry.state for entry in found} == {
        queue_id: STATES[index % 3] for index, queue_id in enumerate(ids)
    }


def test_an_empty_queue(queue: QueueStore) -> None:
    assert list(oldest_first(queue)) == []


def test_what_moves_meanwhile_is_listed_where_it_is(queue: QueueStore) -> None:
    """And what was delivered meanwhile is not."""
    gone, moved, stays = sorted(enqueue(queue) for _ in range(3))
    found = oldest_first(queue)
    assert next(found).queue_id == gone
    queue.move(moved, "incoming", "deferred")
    queue.remove(stays, "incoming")
    assert [(entry.queue_id, entry.state) for entry in found] == [(moved, "deferred")]


def test_a_damaged_file_keeps_no_other_from_being_listed(queue: QueueStore) -> None:
    first, broken, last = sorted(enqueue(queue) for _ in range(3))
    descriptor = os.open(path_of("incoming", broken), os.O_WRONLY, dir_fd=queue.descriptor)
    os.pwrite(descriptor, b"\xff" * 16, 0)
    os.close(descriptor)
    found = [(entry.queue_id, entry.damaged) for entry in oldest_first(queue)]
    assert found == [(first, False), (broken, True), (last, False)]
