"""What a scan says of files that are no messages, and of those that their writers left."""

import asyncio
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.queue_files import enqueue, new_writer

from mta.daemons.qmgr.recovery import Recovery
from mta.daemons.qmgr.told import Told
from mta.queue.layout import create_layout, path_of
from mta.queue.store import QueueStore
from mta.util.log import Log

UNKNOWN = "0" * 22


class Bench:
    """A queue, and the recovery of a queue manager that knows no message."""

    def __init__(self, directory: Path) -> None:
        create_layout(str(directory))
        self.directory = directory
        self.queue = QueueStore(str(directory))
        self._log, log = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.recovery = Recovery(self.queue, float, Log(log, "qmgr", "qmgr_000", 1))

    def scan(self) -> list[str]:
        """The ids that one scan finds."""

        async def collect() -> list[str]:
            return [entry.queue_id async for entry in self.recovery.scan((), lambda: False)]

        return asyncio.run(collect())

    def told(self) -> list[tuple[str, Any]]:
        """What the log was told since the last call."""
        try:
            lines = os.read(self._log, 1 << 20).splitlines()
        except BlockingIOError:
            return []
        records = [json.loads(line) for line in lines]
        return [(record["event"], record.get("queue_id")) for record in records]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("mta.queue.leftovers.PATIENCE", 0.0)
    made = Bench(tmp_path)
    yield made
    made.queue.close()


def test_a_leftover_goes_and_the_log_hears_of_it(bench: Bench) -> None:
    path = bench.directory / path_of("incoming", UNKNOWN)
    path.touch(0o600)
    queue_id = enqueue(bench.queue)
    assert bench.scan() == [queue_id]
    assert not path.exists()
    assert bench.told() == [("leftover_removed", UNKNOWN)]


def test_a_file_that_is_being_written_stays_and_nothing_is_said(bench: Bench) -> None:
    writer = new_writer(bench.queue)
    writer.write(b"x" * 300_000)
    assert bench.scan() == []
    assert bench.told() == []
    writer.seal()
    writer.close()
    assert bench.scan() == [writer.queue_id]


def test_where_there_are_no_leases_leftovers_stay_and_the_log_hears_of_each_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems: a writer there cannot be told from a dead one."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    path = bench.directory / path_of("incoming", UNKNOWN)
    path.touch(0o600)
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    for _ in range(3):
        assert bench.scan() == []
    assert bench.told() == [("leftover_stays", UNKNOWN)]
    assert path.exists()


def test_a_name_is_told_of_once_while_it_stays_and_too_many_are_counted() -> None:
    told = Told()
    names = [str(number) for number in range(150)]
    for expected in (100, 0, 0):
        told.begin_scan()
        assert sum([told.meet(name) for name in names]) == expected
        assert told.left_out() == 50
    told.begin_scan()
    told.begin_scan()
    assert told.meet("0")
    assert not told.meet("0")
    assert "0" in told
