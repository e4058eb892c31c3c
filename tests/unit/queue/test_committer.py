import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.queue_files import new_writer

from mta.proto.status import MailError
from mta.queue.committer import Committer
from mta.queue.store import QueueStore
from mta.queue.writer import QueueWriter
from mta.util.log import Log


class Disk:
    """Stands in for fsync: holds it up, fails it, counts it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[int] = []
        self.threads: set[int] = set()
        self.failing: set[int] = set()  # inodes
        self.spinning = threading.Event()
        self.spinning.set()
        self.entered = threading.Event()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, descriptor: int) -> None:
        self.entered.set()
        assert self.spinning.wait(10)
        inode = os.fstat(descriptor).st_ino
        self.synced.append(inode)
        self.threads.add(threading.get_ident())
        if inode in self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fsync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@asynccontextmanager
async def committing(queue: QueueStore) -> AsyncIterator[Committer]:
    log = Log(2, "cleanup", "test", 1)
    committer = Committer(queue.descriptor, asyncio.get_running_loop(), log)
    yield committer
    await committer.close()


def sealed(queue: QueueStore) -> QueueWriter:
    writer = new_writer(queue)
    writer.write(b"content")
    writer.seal()
    return writer


def inode(tmp_path: Path, writer: QueueWriter) -> int:
    return (tmp_path / writer.path).stat().st_ino


def test_a_message_is_flushed_before_it_counts_as_committed(
    queue: QueueStore, disk: Disk, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with committing(queue) as committer:
            writer = sealed(queue)
            disk.spinning.clear()
            committed = committer.commit(writer)
            await asyncio.to_thread(disk.entered.wait, 10)
            assert not committed.done()
            disk.spinning.set()
            await committed
            assert inode(tmp_path, writer) in disk.synced
        assert disk.threads.isdisjoint({threading.get_ident()})

    asyncio.run(scenario())


def test_no_thread_runs_before_the_first_message_and_none_after_the_last(
    queue: QueueStore,
) -> None:
    async def scenario() -> None:
        before = threading.active_count()
        async with committing(queue) as committer:
            assert threading.active_count() == before
            await committer.commit(sealed(queue))
            assert threading.active_count() == before + 1
        assert threading.active_count() == before

    asyncio.run(scenario())


def test_what_gathers_during_a_batch_is_the_next(
    queue: QueueStore, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    flush = Committer._flush

    def count(self: Committer, batch: list[object]) -> None:
        batches.append(len(batch))
        flush(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Committer, "_flush", count)

    async def scenario() -> None:
        async with committing(queue) as committer:
            disk.spinning.clear()
            waiting = [committer.commit(sealed(queue)) for _ in range(3)]
            await asyncio.to_thread(disk.entered.wait, 10)
            waiting += [committer.commit(sealed(queue)) for _ in range(25)]
            disk.spinning.set()
            await asyncio.gather(*waiting)

    asyncio.run(scenario())
    assert batches == [3, 25]
    assert len(list(queue.scan("incoming"))) == 28


def test_a_failed_flush_is_final_for_its_file_alone(
    queue: QueueStore, disk: Disk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with committing(queue) as committer:
            writers = [sealed(queue) for _ in range(3)]
            bad = inode(tmp_path, writers[1])
            disk.failing.add(bad)
            results = await asyncio.gather(*map(committer.commit, writers), return_exceptions=True)
            assert [type(result) for result in results] == [type(None), MailError, type(None)]
            assert str(results[1]).startswith("451 4.3.0")
            assert disk.synced.count(bad) == 1
            kept = {writers[0].queue_id, writers[2].queue_id}
            assert set(queue.scan("incoming")) == kept
            assert writers[1].queue_id in capfd.readouterr().err

    asyncio.run(scenario())


def test_a_sick_queue_recovers_with_the_first_success(
    queue: QueueStore, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[bool] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with committing(queue) as committer:
            writer = sealed(queue)
            disk.failing.add(inode(tmp_path, writer))
            with pytest.raises(MailError, match=r"4\.3\.0"):
                await committer.commit(writer)
            disk.failing.clear()
            states.append(committer.sick)
            later = loop.time() + 11
            with monkeypatch.context() as patch:
                patch.setattr(loop, "time", lambda: later)
                states.append(committer.sick)  # messages are tried again
            await committer.commit(sealed(queue))
            states.append(committer.sick)

    asyncio.run(scenario())
    assert states == [True, False, False]


def test_names_are_flushed_where_the_file_system_does_not(
    queue: QueueStore, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mta.queue.committer.fsync_covers_name", lambda _: False)

    async def scenario() -> None:
        async with committing(queue) as committer:
            good, bad = sealed(queue), sealed(queue)
            while bad.folder == good.folder:
                bad = sealed(queue)
            folders = {writer: (tmp_path / writer.folder).stat().st_ino for writer in (good, bad)}
            disk.failing.add(folders[bad])
            results = await asyncio.gather(
                committer.commit(good), committer.commit(bad), return_exceptions=True
            )
            assert results[0] is None
            assert isinstance(results[1], MailError)
            assert set(folders.values()) <= set(disk.synced)
            assert not (tmp_path / bad.path).exists()

    asyncio.run(scenario())


def test_a_fault_in_the_thread_leaves_nobody_waiting(
    queue: QueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: QueueWriter) -> None:
        raise RuntimeError("a fault of ours")

    async def scenario() -> None:
        async with committing(queue) as committer:
            with monkeypatch.context() as patch:
                patch.setattr(QueueWriter, "sync", fail)
                with pytest.raises(MailError, match="a fault of ours"):
                    await committer.commit(sealed(queue))
            await committer.commit(sealed(queue))

    asyncio.run(scenario())


def test_who_does_not_wait_disturbs_nobody(queue: QueueStore, disk: Disk) -> None:
    async def scenario() -> None:
        async with committing(queue) as committer:
            disk.spinning.clear()
            gone, waiting = (committer.commit(sealed(queue)) for _ in range(2))
            gone.cancel()
            disk.spinning.set()
            await waiting
        assert len(list(queue.scan("incoming"))) == 2

    asyncio.run(scenario())


def test_descriptors_are_closed(queue: QueueStore) -> None:
    async def scenario() -> None:
        async with committing(queue) as committer:
            await committer.commit(sealed(queue))
            before = len(os.listdir("/proc/self/fd"))
            await asyncio.gather(*[committer.commit(sealed(queue)) for _ in range(20)])
            assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(scenario())


def test_without_a_thread_the_message_is_refused_and_the_next_one_tries_again(
    queue: QueueStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A thread that was noted before it had started left all who came later waiting for ever."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        async with committing(queue) as committer:
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", start)
                with pytest.raises(MailError, match=r"451 4\.3\.0"):
                    await committer.commit(sealed(queue))
            assert not committer.sick
            assert list(queue.scan("incoming")) == []
            await committer.commit(sealed(queue))

    asyncio.run(scenario())
    assert len(list(queue.scan("incoming"))) == 1
    assert "can't start new thread" in capfd.readouterr().err
