"""Client of the rewrite service: the canonical form and the route of an address."""

import asyncio
from typing import Final, TypeVar

from msgspec import Struct

from mta.ipc.client import ServiceClient, Unavailable
from mta.ipc.messages import (
    AddressRole,
    Expand,
    Expanded,
    Resolve,
    Resolved,
    Rewrite,
    RewriteReply,
    Rewritten,
)
from mta.util.log import Log

__all__ = ["Expansion", "RewriteClient"]

CACHE_LIMIT: Final = 2000  # addresses
CACHE_TIME: Final = 30.0  # seconds, as long as Postfix's clients believe an answer


Reply = TypeVar("Reply", Resolved, Rewritten, Expanded)


class Expansion(Struct, frozen=True):
    """Whom mail for a recipient is for; `copy` is who gets a copy of it, or ""."""

    addresses: tuple[str, ...]
    copy: str


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
        self._service = ServiceClient[Resolved | Rewritten | Expanded](
            path, RewriteReply, loop, timeout, log
        )
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
            reply = _of(Resolved, await self._service.request(Resolve(address), idempotent=True))
            self._cache[address] = self._loop.time() + CACHE_TIME, reply
            if len(self._cache) > CACHE_LIMIT:
                del self._cache[next(iter(self._cache))]
        return reply

    async def rewrite(self, address: str, role: AddressRole) -> Rewritten:
        """What the address becomes where it stands; MailError as from `resolve`."""
        request = Rewrite(address, role)
        return _of(Rewritten, await self._service.request(request, idempotent=True))

    async def expand(self, address: str) -> Expansion:
        """Whom mail for the recipient is for; MailError as from `resolve`."""
        addresses: list[str] = []
        more, copy = True, ""
        while more:
            request = Expand(address, len(addresses))
            reply = _of(Expanded, await self._service.request(request, idempotent=True))
            addresses += reply.addresses
            more, copy = reply.more and bool(reply.addresses), reply.copy
        return Expansion(tuple(addresses), copy)

    def close(self) -> None:
        """Close the connection."""
        self._service.close()


def _of(kind: type[Reply], reply: Resolved | Rewritten | Expanded) -> Reply:
    """The reply, if it is of the kind that the request asks for."""
    if not isinstance(reply, kind):
        raise Unavailable(f"rewrite: an answer of another kind: {type(reply).__name__}")
    return reply
