"""What users have tried now: one request at a time, and a pause behind it.

The law: the queue manager is disturbed no more often than that, whoever asks and however many do.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from mta.ipc.qmgr import QmgrClient

__all__ = ["Flushing"]

_PAUSE: Final = 0.2  # seconds between two requests


class Flushing:
    """Passes requests on to the queue manager, in the order in which they come."""

    def __init__(self, qmgr: QmgrClient, loop: asyncio.AbstractEventLoop) -> None:
        self._qmgr = qmgr
        self._loop = loop
        self._turn = asyncio.Lock()
        self._next = loop.time()

    async def flush(self, queue_id: str) -> int:
        """Have one message tried, or all if it is empty; the number of those that waited.

        MailError as of `QmgrClient.flush`.
        """
        return await self._in_turn(lambda: self._qmgr.flush(queue_id))

    async def flush_each(self, find: Callable[[], Awaitable[list[str]]]) -> int:
        """The same for the messages that are found then."""

        async def work() -> int:
            return sum([await self._qmgr.flush(queue_id) for queue_id in await find()])

        return await self._in_turn(work)

    async def _in_turn(self, work: Callable[[], Awaitable[int]]) -> int:
        async with self._turn:
            await asyncio.sleep(max(0.0, self._next - self._loop.time()))
            try:
                return await work()
            finally:
                self._next = self._loop.time() + _PAUSE
