"""What was found is found again until it expires, and what is being looked up is looked up once.

The key is the request itself, the value the reply as it goes over the wire: a hit costs no more
than to send it. Refusals are kept like other replies.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from msgspec import Struct

from mta.ipc.messages import FindAddresses, FindMailHosts, HostAddresses, MailHosts, Refused

__all__ = ["ENTRIES_LIMIT", "Cache", "Found", "Reply", "Request"]

ENTRIES_LIMIT: Final = 20_000  # about 1 KiB each

Request = FindMailHosts | FindAddresses
Reply = MailHosts | HostAddresses | Refused


class Found(Struct, frozen=True):
    """A reply, and until when it may be repeated: in the loop's time."""

    reply: Reply
    expires: float


class Cache:
    """Answers from memory, or through `look_up`, which is run once at a time for each request."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        look_up: Callable[[Request], Coroutine[Any, Any, Found]],
        limit: int = ENTRIES_LIMIT,
    ) -> None:
        self._loop = loop
        self._look_up = look_up
        self._limit = limit
        self._entries: dict[Request, Found] = {}  # least recently used first
        self._underway: dict[Request, asyncio.Task[Found]] = {}

    def known(self, request: Request) -> Found | None:
        """What is remembered and has not expired."""
        found = self._entries.pop(request, None)
        if found is None or found.expires <= self._loop.time():
            return None
        self._entries[request] = found
        return found

    async def find(self, request: Request) -> Found:
        """What is known, or is being looked up; a caller that is cancelled stops nobody else."""
        if (found := self.known(request)) is not None:
            return found
        task = self._underway.get(request)
        if task is None:
            task = self._loop.create_task(self._look_up(request))
            self._underway[request] = task
            task.add_done_callback(partial(self._keep, request))
        return await asyncio.shield(task)

    def _keep(self, request: Request, task: asyncio.Task[Found]) -> None:
        del self._underway[request]
        if task.cancelled() or task.exception() is not None:
            return
        self._entries[request] = task.result()
        if len(self._entries) > self._limit:
            del self._entries[next(iter(self._entries))]
