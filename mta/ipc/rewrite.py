"""Client of the rewrite service: the canonical form and the route of an address."""

import asyncio
from typing import Final

from mta.ipc.client import ServiceClient
from mta.ipc.messages import Resolve, Resolved, RewriteReply
from mta.util.log import Log

__all__ = ["RewriteClient"]

CACHE_LIMIT: Final = 2000  # addresses
CACHE_TIME: Final = 30.0  # seconds, as long as Postfix's clients believe an answer


class RewriteClient:
    """Resolves addresses, and remembers the answers for a short while."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        log: Log,
        path: str = "private/rewrite",
    ) -> None:
        self._loop = loop
        self._service = ServiceClient[Resolved](path, RewriteReply, loop, timeout, log)
        self._cache: dict[str, tuple[float, Resolved]] = {}  # least recently used first

    def known(self, address: str) -> Resolved | None:
        """The answer that is remembered, if there is one: who has it need not wait."""
        found = self._cache.pop(address, None)
        if found is None or found[0] < self._loop.time():
            return None
        self._cache[address] = found
        return found[1]

    async def resolve(self, address: str) -> Resolved:
        """Resolve one address.

        Raises `MailError`: 5xx for an address that is none, 451 when the service is unavailable.
        """
        reply = self.known(address)
        if reply is None:
            reply = await self._service.request(Resolve(address), idempotent=True)
            self._cache[address] = self._loop.time() + CACHE_TIME, reply
            if len(self._cache) > CACHE_LIMIT:
                del self._cache[next(iter(self._cache))]
        return reply

    def close(self) -> None:
        """Close the connection."""
        self._service.close()
