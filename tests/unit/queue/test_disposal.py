import asyncio
import os
import threading
from typing import Self

import pytest

from mta.queue import disposal
from mta.queue.disposal import Disposer
from mta.util.log import Log

NOT_OPEN = 1 << 20  # beyond the limit of descriptors


class Pipes:
    """Pipes whose reading ends tell when the writing ends are closed."""

    def __init__(self) -> None:
        self._readers: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers:
            os.close(reader)

    def writer(self) -> int:
        reader, writer = os.pipe()
        self._readers.append(reader)
        return writer

    async def all_closed(self) -> None:
        for reader in self._readers:
            os.set_blocking(reader, True)
            assert await asyncio.to_thread(os.read, reader, 1) == b""

    def count_closed(self) -> int:
        for reader in self._readers:
            os.set_blocking(reader, False)
        return sum(map(_is_at_end, self._readers))


def _is_at_end(reader: int) -> bool:
    try:
        return os.read(reader, 1) == b""
    except BlockingIOError:
        return False


def test_what_gathers_is_closed_by_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[tuple[int, int]] = []
    close_all = disposal._close_all

    def noted(descriptors: list[int]) -> list[OSError]:
        batches.append((threading.get_ident(), len(descriptors)))
        return close_all(descriptors)

    monkeypatch.setattr(disposal, "_close_all", noted)

    async def run() -> None:
        disposer = Disposer(asyncio.get_running_loop(), Log(2, "qmgr", "test", 1))
        with Pipes() as pipes:
            for _ in range(7):
                disposer.close(pipes.writer())
            await pipes.all_closed()
            disposer.close(pipes.writer())
            await pipes.all_closed()
        disposer.stop()

    asyncio.run(run())
    assert [size for _, size in batches] == [7, 1]
    assert threading.get_ident() not in {thread for thread, _ in batches}


def test_a_disk_that_does_not_keep_up_holds_the_loop_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    going, entered = threading.Event(), threading.Event()
    loop_thread = threading.get_ident()
    close_all = disposal._close_all

    def slow(descriptors: list[int]) -> list[OSError]:
        if threading.get_ident() != loop_thread:
            entered.set()
            assert going.wait(10)
        return close_all(descriptors)

    monkeypatch.setattr(disposal, "_close_all", slow)

    async def run() -> None:
        disposer = Disposer(asyncio.get_running_loop(), Log(2, "qmgr", "test", 1))
        with Pipes() as pipes:
            disposer.close(pipes.writer())
            assert await asyncio.to_thread(entered.wait, 10)
            for _ in range(disposal._LIMIT):
                disposer.close(pipes.writer())
            assert pipes.count_closed() == 0
            disposer.close(pipes.writer())
            assert pipes.count_closed() == disposal._LIMIT + 1
            going.set()
            await pipes.all_closed()
        disposer.stop()

    asyncio.run(run())


def test_a_close_that_fails_is_told_and_the_rest_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        disposer = Disposer(asyncio.get_running_loop(), Log(2, "qmgr", "test", 1))
        with Pipes() as pipes:
            disposer.close(NOT_OPEN)
            disposer.close(pipes.writer())
            await pipes.all_closed()
            disposer.close(pipes.writer())  # a batch of its own: the first one has been reported
            await pipes.all_closed()
        disposer.stop()

    asyncio.run(run())
    assert capfd.readouterr().err.count("close_failed") == 1


def test_without_a_thread_the_loop_closes_them_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        disposer = Disposer(loop, Log(2, "qmgr", "test", 1))
        with Pipes() as pipes:
            with monkeypatch.context() as patch:
                patch.setattr(disposer._executor, "submit", refuse)
                disposer.close(pipes.writer())
                await pipes.all_closed()
            disposer.close(pipes.writer())
            await pipes.all_closed()
        disposer.stop()

    asyncio.run(run())
