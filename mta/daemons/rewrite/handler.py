"""Answers requests: at once where no table may block, and otherwise each in a task of its own."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, Final

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.config.tables import TableFolders
from mta.daemons.rewrite.canonical import Rewriter
from mta.daemons.rewrite.expansion import Expander
from mta.daemons.rewrite.listing import Listing
from mta.daemons.rewrite.names import Names
from mta.daemons.rewrite.routing import Router
from mta.daemons.rewrite.tables import open_tables
from mta.ipc.connection import Descriptors
from mta.ipc.lookup import LookupClient
from mta.ipc.maps import Finder
from mta.ipc.messages import (
    EXPANDED_LIMIT,
    FRAME_LIMIT,
    Expand,
    Expanded,
    Message,
    Resolve,
    Resolved,
    Rewrite,
    RewriteRequest,
    Rewritten,
)
from mta.ipc.server import RequestServer
from mta.master.daemon import Context
from mta.proto.status import MailError

__all__ = ["RewriteHandler", "Rules"]

_PAGE_OCTETS: Final = FRAME_LIMIT // 2  # of addresses in one frame
_HEAD: Final = 8  # octets that a frame has for each address besides its own
_UNFINISHED: Final = 4  # expansions of several frames that are kept for whoever asks for the rest


class _Expansion(Struct, frozen=True):
    """An expansion that takes several frames: they are asked for one by one."""

    epoch: int
    addresses: tuple[str, ...]
    copy: str


class Rules:
    """What one configuration makes of addresses."""

    def __init__(
        self, parameters: Parameters, rows: Collection[str], generation: int, finder: Finder
    ) -> None:
        self.tables = open_tables(parameters, generation, finder)
        self._names = Names(parameters)
        self._router = Router(parameters, rows, self.tables, self._names)
        self._listing = Listing(parameters, self.tables, self._names)
        self._rewriter = Rewriter(parameters, self.tables, self._names)
        self._expander = Expander(parameters, self.tables, self._names)
        # By address, the one whose frame was asked for longest ago first: clients take turns.
        self._unfinished: dict[str, _Expansion] = {}

    async def answer(self, request: Resolve | Rewrite | Expand) -> Message:
        """The reply; MailError 550 5.1.3 for what is no address, 451 if the tables cannot say."""
        epoch = self.tables.epoch()
        match request:
            case Resolve():
                return await self._resolve(request, epoch)
            case Rewrite(address=address, role=role):
                rewritten, copy = await self._rewriter.rewrite(address, role)
                return Rewritten(rewritten, epoch, copy)
            case Expand():
                return await self._expand(request, epoch)

    async def _resolve(self, request: Resolve, epoch: int) -> Resolved:
        mailbox = self._names.parse(request.address)
        route = await self._router.route(mailbox, request.sender)
        refusal = await self._listing.refusal(mailbox, route) if request.listed else None
        return Resolved(
            str(mailbox), route.domain_class, route.transport, route.nexthop, epoch, refusal
        )

    async def _expand(self, request: Expand, epoch: int) -> Expanded:
        address = request.address
        found = self._unfinished.pop(address, None)
        if found is None or found.epoch != epoch:
            found = _Expansion(epoch, *await self._expander.expand(address))
        page = _page(found.addresses, request.first)
        more = request.first + len(page) < len(found.addresses)
        if more:
            self._unfinished[address] = found
            if len(self._unfinished) > _UNFINISHED:
                del self._unfinished[next(iter(self._unfinished))]
        return Expanded(page, more, epoch, found.copy)


class RewriteHandler(RequestServer[Resolve | Rewrite | Expand]):
    """The daemon's handler."""

    def __init__(self, context: Context) -> None:
        super().__init__(RewriteRequest, context.log, context.used, self._answer)
        timeout = context.parameters.ipc_timeout
        self._lookup = LookupClient(context.loop, timeout, context.log, context.service.name)
        rows = {row.name for row in context.snapshot.services}
        views = map(context.snapshot.parameters_for, context.snapshot.services)
        self._folders = TableFolders(views)
        self._context = context
        self._rules = Rules(context.parameters, rows, context.snapshot.generation, self._lookup)

    async def stop(self) -> None:
        """Close what was opened."""
        self._lookup.close()

    def _answer(
        self, request: Resolve | Rewrite | Expand, _: Descriptors
    ) -> Message | Coroutine[Any, Any, Message]:
        answer = self._watched(self._rules.answer(request))
        return answer if self._rules.tables.may_block else _at_once(answer)

    async def _watched(self, answer: Coroutine[Any, Any, Message]) -> Message:
        """The answer; where there is none, a new process may be granted more than this one."""
        try:
            return await answer
        except MailError as error:
            if error.status.is_temporary and self._folders.moved:
                self._context.log.info("tables_moved")
                self._context.retire()
            raise


def _at_once(answer: Coroutine[Any, Any, Message]) -> Message | Coroutine[Any, Any, Message]:
    """The answer of a coroutine that does not wait for anything; a task costs more than most."""
    try:
        answer.send(None)
    except StopIteration as done:
        reply: Message = done.value
        return reply
    return _in_turns(answer)


async def _in_turns(answer: Coroutine[Any, Any, Message]) -> Message:
    """Go on with one that lets others have their turn now and then, as sleep(0) does."""
    while True:
        await asyncio.sleep(0)
        try:
            answer.send(None)
        except StopIteration as done:
            reply: Message = done.value
            return reply


def _page(addresses: tuple[str, ...], first: int) -> tuple[str, ...]:
    """As many of them as a frame holds, from one on."""
    room = _PAGE_OCTETS
    page = []
    for address in addresses[first : first + EXPANDED_LIMIT]:
        room -= len(address.encode()) + _HEAD
        if room < 0:
            break
        page.append(address)
    return tuple(page)
