"""What the tests of the internal protocol share."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop
from support.ipc import Journal


@pytest.fixture
def journal() -> Iterator[Journal]:
    """A log that can be read."""
    journal = Journal()
    yield journal
    journal.close()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop that daemons use."""
    loop = uvloop.new_event_loop()
    failures: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    yield loop
    loop.close()
    assert not failures
