"""Client of the rewrite service: what becomes of addresses, and where their mail goes.

Answers are remembered, for every address of every message is asked about. What the tables behind
them say may change at any time, so each answer bears an epoch, and one of another epoch drops all
that is remembered. While there are tables, the service is asked anew, about whatever comes next,
once its last answer is `FRESH_TIME` old: no answer outlives a change by more.
"""

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

__all__ = ["CACHE_LIMIT", "CACHE_TIME", "FRESH_TIME", "Expansion", "RewriteClient"]

CACHE_LIMIT: Final = 2000  # answers
CACHE_TIME: Final = 30.0  # seconds, as long as Postfix's clients believe an answer
FRESH_TIME: Final = 1.0  # seconds that the epoch of an answer is believed
_REMEMBERED: Final = 50  # recipients of an expansion that is remembered
_ATTEMPTS: Final = 3  # at an expansion of several frames, while tables change

Reply = TypeVar("Reply", Resolved, Rewritten, "Expansion")
_Question = Resolve | Rewrite | Expand


class Expansion(Struct, frozen=True):
    """Whom mail for a recipient is for; `copy` is who gets a copy of it, or ""."""

    addresses: tuple[str, ...]
    copy: str


class RewriteClient:
    """Asks about addresses, and remembers the answers for a short while.

    What is refused is raised as MailError: 5xx for an address that is none, 451 where a table gives
    no answer, or the service none.
    """

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
        # Answers and the times they are believed to, the least recently used first.
        self._cache: dict[_Question, tuple[float, Resolved | Rewritten | Expansion]] = {}
        self._epoch = 0
        self._fresh = 0.0  # the time that the epoch is believed to

    def known(self, address: str, *, sender: str = "", listed: bool = False) -> Resolved | None:
        """The answer of `resolve` that is remembered: who has it need not wait."""
        return self._known(Resolve(address, sender, listed), Resolved)

    async def resolve(self, address: str, *, sender: str = "", listed: bool = False) -> Resolved:
        """The route of one address.

        `sender` matters where sender_dependent_relayhost_maps is set; `listed` asks whether the
        address exists.
        """
        question = Resolve(address, sender, listed)
        known = self._known(question, Resolved)
        if known is not None:
            return known
        reply = await self._ask(question)
        if not isinstance(reply, Resolved):
            raise _mismatch(reply)
        self._remember(question, reply)
        return reply

    async def rewrite(self, address: str, role: AddressRole) -> Rewritten:
        """What the address becomes where it stands."""
        question = Rewrite(address, role)
        known = self._known(question, Rewritten)
        if known is not None:
            return known
        reply = await self._ask(question)
        if not isinstance(reply, Rewritten):
            raise _mismatch(reply)
        self._remember(question, reply)
        return reply

    async def expand(self, address: str) -> Expansion:
        """Whom mail for the recipient is for."""
        question = Expand(address)
        known = self._known(question, Expansion)
        if known is not None:
            return known
        for _ in range(_ATTEMPTS):
            expansion = await self._expansion(address)
            if expansion is not None:
                if len(expansion.addresses) <= _REMEMBERED:
                    self._remember(question, expansion)
                return expansion
        raise Unavailable("rewrite: tables change faster than they can be asked")

    def close(self) -> None:
        """Close the connection."""
        self._service.close()

    async def _expansion(self, address: str) -> Expansion | None:
        """All frames of an expansion; None if they are not of one epoch."""
        addresses: list[str] = []
        epoch = None
        while True:
            reply = await self._ask(Expand(address, len(addresses)))
            if not isinstance(reply, Expanded):
                raise _mismatch(reply)
            if epoch not in (None, reply.epoch):
                return None
            epoch = reply.epoch
            addresses += reply.addresses
            if not reply.more:
                return Expansion(tuple(addresses), reply.copy)
            if not reply.addresses:
                raise Unavailable("rewrite: a frame without addresses, and more to come")

    def _known(self, question: _Question, kind: type[Reply]) -> Reply | None:
        found = self._cache.get(question)
        now = self._loop.time()
        if found is None or found[0] < now or (self._epoch and self._fresh < now):
            return None
        del self._cache[question]
        self._cache[question] = found
        reply = found[1]
        assert isinstance(reply, kind)
        return reply

    async def _ask(self, question: _Question) -> Resolved | Rewritten | Expanded:
        reply = await self._service.request(question, idempotent=True)
        if reply.epoch != self._epoch:
            self._cache.clear()
            self._epoch = reply.epoch
        self._fresh = self._loop.time() + FRESH_TIME
        return reply

    def _remember(self, question: _Question, reply: Resolved | Rewritten | Expansion) -> None:
        self._cache.pop(question, None)
        self._cache[question] = self._loop.time() + CACHE_TIME, reply
        if len(self._cache) > CACHE_LIMIT:
            del self._cache[next(iter(self._cache))]


def _mismatch(reply: Resolved | Rewritten | Expanded) -> Unavailable:
    return Unavailable(f"rewrite: an answer of another kind: {type(reply).__name__}")
