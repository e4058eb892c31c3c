"""Tables that block, as the lookup daemon asks them: threads that hang, or cannot be had."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest

from mta.daemons.lookup import blocking
from mta.daemons.lookup.blocking import BlockingTables
from mta.ipc.messages import Found, Key
from mta.lookup.inline import StaticTable
from mta.lookup.syntax import parse
from mta.lookup.table import TableError

NAME = parse("static:value")
KEYS = (Key("key"),)


class Hanging(StaticTable):
    """Answers once it is let go, deadline or not: as a file system that is away."""

    def __init__(self, go: threading.Event) -> None:
        super().__init__(NAME)
        self._go = go
        self.asked = 0

    def find(self, key: str) -> str | None:
        self.asked += 1
        assert self._go.wait(30)
        return super().find(key)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_hanging_threads_cost_their_own_requests(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is answered in time; those without a thread are not begun when nobody waits any more."""
    go = threading.Event()
    table = Hanging(go)
    monkeypatch.setattr(blocking, "open_table", lambda *_: table)
    tables = BlockingTables([NAME], 0.2, loop)

    async def scenario() -> None:
        asking = [tables.find(KEYS) for _ in range(20)]
        failed = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(error, TableError) for error in failed)
        assert {str(error) for error in failed} == {"static:value: stuck for 0.2 s"}
        assert table.asked <= 8
        go.set()
        while not await answers():
            pass

    async def answers() -> bool:
        with contextlib.suppress(TableError):  # the machine may be slow
            return await tables.find(KEYS) == Found(0, "value")
        return False

    loop.run_until_complete(scenario())


def test_no_thread_is_a_failure_that_passes(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    tables = BlockingTables([NAME], 10.0, loop)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(TableError, match="static:value: no thread can be had"):
            loop.run_until_complete(tables.find(KEYS))
    assert loop.run_until_complete(tables.find(KEYS)) == Found(0, "value")
