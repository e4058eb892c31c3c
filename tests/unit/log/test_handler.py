"""The log daemon's reading of its pipe, on a loop that the test turns by hand."""

import asyncio
import errno
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from support.own_master import write_snapshot

from mta.daemons.log.handler import LogHandler
from mta.master.daemon import Context
from mta.util.log import Log

Callback = Callable[..., None]


class Loop:
    """Watches one pipe and keeps what is to be called later."""

    def __init__(self) -> None:
        self.full = False  # the kernel has no memory to watch one more
        self.readers: dict[int, tuple[Callback, tuple[object, ...]]] = {}
        self.later: deque[tuple[Callback, tuple[object, ...]]] = deque()

    def time(self) -> float:
        return 0.0

    def add_reader(self, descriptor: int, callback: Callback, *arguments: object) -> None:
        if self.full:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        self.readers[descriptor] = callback, arguments

    def remove_reader(self, descriptor: int) -> None:
        self.readers.pop(descriptor, None)

    def call_later(self, delay: float, callback: Callback, *arguments: object) -> None:
        self.later.append((callback, arguments))

    def read(self) -> None:
        for callback, arguments in list(self.readers.values()):
            callback(*arguments)

    def pass_time(self) -> None:
        callback, arguments = self.later.popleft()
        callback(*arguments)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_a_pipe_that_cannot_be_watched_is_watched_later(
    pipe: tuple[int, int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It was given up after the first failure, and every later line with it."""
    (tmp_path / "log").mkdir()
    snapshot = write_snapshot(tmp_path, {"name": "log", "daemon": "log"})
    (service,) = snapshot.services
    reader, writer = pipe
    log, loop = Log(writer, "log", "log_000", 1), Loop()
    handler = LogHandler(
        Context(
            log=log,
            parameters=snapshot.parameters_for(service),
            snapshot=snapshot,
            service=service,
            loop=cast("asyncio.AbstractEventLoop", loop),
            used=lambda units=1: None,
            retire=lambda: None,
        )
    )
    asyncio.run(handler.start())
    handler.adopt("pipe:log", reader)
    log.info("first")
    loop.read()
    loop.full = True
    loop.pass_time()  # the pause for gathering is over
    assert not loop.readers
    assert "log_blocked" in capfd.readouterr().err
    loop.pass_time()  # in vain
    assert not loop.readers
    loop.full = False
    loop.pass_time()
    log.info("last")
    loop.read()
    lines = (tmp_path / "log" / "mail.log").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events == ["first", "log_blocked", "log_resumed", "last"]
