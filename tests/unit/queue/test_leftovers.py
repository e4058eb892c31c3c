"""Unfinished files: a dead writer's goes, a living writer's stays, at every step of both."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.queue_files import new_writer

from mta.queue.layout import path_of
from mta.queue.leftovers import PATIENCE, Leftovers
from mta.queue.store import QueueStore
from mta.queue.writer import QueueWriter

UNKNOWN = "0" * 22
LARGE = b"x" * 300_000  # streamed


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leftovers(queue: QueueStore, clock: Clock) -> Leftovers:
    return Leftovers(queue.descriptor, clock)


def scan(leftovers: Leftovers, *queue_ids: str) -> list[bool]:
    """One scan that meets these unfinished files: which of them it removed."""
    leftovers.begin_scan()
    return [leftovers.remove(queue_id) for queue_id in queue_ids]


def seen_before(leftovers: Leftovers, clock: Clock, queue_id: str) -> None:
    """Have the file met by a scan as long ago as it takes."""
    scan(leftovers, queue_id)
    clock.now += PATIENCE


def test_what_nobody_completes_goes_when_it_was_seen_long_enough(
    leftovers: Leftovers, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / path_of("incoming", UNKNOWN)
    path.touch(0o600)
    os.utime(path, (0, 0))  # what the clock on the wall says is no matter
    assert scan(leftovers, UNKNOWN) == [False]
    clock.now += PATIENCE - 1
    assert scan(leftovers, UNKNOWN) == [False]
    clock.now += 1
    assert scan(leftovers, UNKNOWN) == [True]
    assert not path.exists()


def test_one_that_a_scan_did_not_meet_begins_anew(
    leftovers: Leftovers, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / path_of("incoming", UNKNOWN)).touch(0o600)
    seen_before(leftovers, clock, UNKNOWN)
    scan(leftovers)
    assert scan(leftovers, UNKNOWN) == [False]


def steps(writer: QueueWriter, content: bytes) -> list[Callable[[], None]]:
    """All that a writer does between the creation of its file and its end."""
    return [lambda: writer.write(content), writer.seal, writer.sync, writer.close]


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["in one go", "streamed"])
def test_a_file_with_a_writer_stays_between_any_two_of_its_steps(
    queue: QueueStore,
    leftovers: Leftovers,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
) -> None:
    """A scan is at work before and after every system call on the file."""
    writer = new_writer(queue)
    seen_before(leftovers, clock, writer.queue_id)
    scans = 0

    def scanned(call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **keywords: object) -> object:
            nonlocal scans
            with monkeypatch.context() as patch:
                for name, original in originals.items():
                    patch.setattr(os, name, original)
                assert scan(leftovers, writer.queue_id) == [False]
                result = call(*arguments, **keywords)
                assert scan(leftovers, writer.queue_id) == [False]
            scans += 1
            return result

        return wrapped

    originals = {
        name: getattr(os, name) for name in ("open", "writev", "pwrite", "fchmod", "fsync", "close")
    }
    with monkeypatch.context() as patch:
        for name, original in originals.items():
            patch.setattr(os, name, scanned(original))
        for step in steps(writer, content):
            step()
    assert scans >= 5
    with queue.open_message("incoming", writer.queue_id) as message:
        message.verify_content()
        assert b"".join(message.content()) == content


def test_a_file_that_is_completed_while_the_scan_looks_at_it_stays(
    queue: QueueStore, leftovers: Leftovers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer closes it between the look at the folder and the lease."""
    writer = new_writer(queue)
    writer.write(LARGE)
    seen_before(leftovers, clock, writer.queue_id)
    whole = os.open

    def late(*arguments: object, **keywords: object) -> int:
        monkeypatch.undo()
        writer.seal()
        writer.close()
        return whole(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", late)
    assert scan(leftovers, writer.queue_id) == [False]
    assert list(queue.scan("incoming")) == [writer.queue_id]


def test_a_writer_that_died_has_left_it(
    queue: QueueStore, leftovers: Leftovers, clock: Clock
) -> None:
    writer = new_writer(queue)
    writer.write(LARGE)
    writer.close()  # as the kernel does it
    seen_before(leftovers, clock, writer.queue_id)
    assert scan(leftovers, writer.queue_id) == [True]


def test_what_has_another_kind_by_now_or_is_gone_is_left_alone(
    leftovers: Leftovers, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / path_of("incoming", UNKNOWN)
    seen_before(leftovers, clock, UNKNOWN)
    assert scan(leftovers, UNKNOWN) == [False]
    path.symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        scan(leftovers, UNKNOWN)
    assert path.is_symlink()


def test_memory_is_bounded(leftovers: Leftovers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.queue.leftovers._LIMIT", 10)
    many = [f"{number:022}" for number in range(100)]
    assert not any(scan(leftovers, *many))
    assert len(leftovers._seen) == 10
