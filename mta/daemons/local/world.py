"""The services that local works with, and what they are for one message: the House of steps.

What becomes a user's is said to mailuser; what other rows deliver, to them; what is forwarded is
committed by cleanup, in whose queue file each recipient has a state of its own.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from mta.daemons.local.house import Alias, Environment, Route
from mta.daemons.local.tables import LocalTables
from mta.delivery.content import ContentReader
from mta.delivery.environment import exported
from mta.ipc.cleanup import CleanupClient
from mta.ipc.delivery import DeliveryClient, RequestLost
from mta.ipc.lookup import LookupClient
from mta.ipc.messages import (
    CommandEnded,
    Deliver,
    DeliverRecipient,
    DomainClass,
    FileRead,
    MailboxKind,
    ReadFile,
    RunCommand,
    Stored,
    StoreMessage,
)
from mta.ipc.rewrite import RewriteClient
from mta.master.daemon import Context
from mta.master.host_users import Users
from mta.proto.envelope import FORWARDED, Origin, Recipient
from mta.proto.status import Status, temporary
from mta.util.accounts import Account
from mta.util.threads import WorkerPool

__all__ = ["Letter", "Mailuser", "World"]

Found = TypeVar("Found")

_THREADS: Final = 4
_FILE_LIMIT: Final = 50_000  # octets of a .forward or :include: file, as in `ReadFile`
_HANDED_OVER: Final = 20  # requests to one row at a time
# Characters that a command may have that is executed without a shell, as in Postfix.
_PLAIN: Final = frozenset(
    "1234567890!@%-_=+:,./ \t\nabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


class Mailuser(Protocol):
    """Who does what is done as a user of this host (mta.ipc.mailuser)."""

    async def read_file(self, request: ReadFile) -> FileRead:
        """See `ReadFile`."""

    async def store(self, request: StoreMessage, descriptor: int) -> Stored:
        """See `StoreMessage`."""

    async def run(self, request: RunCommand, descriptor: int) -> CommandEnded:
        """See `RunCommand`."""

    def close(self) -> None:
        """Close the connections."""


class World:
    """All that is shared by the messages of one process."""

    def __init__(self, context: Context, mailuser: Mailuser) -> None:
        self.context = context
        self.parameters = context.parameters
        self.mailuser = mailuser
        self.exported = exported(self.parameters.export_environment, os.environ)
        timeout = self.parameters.ipc_timeout
        self.rewrite = RewriteClient(context.loop, timeout, context.log)
        self.cleanup = CleanupClient(context.loop, timeout, context.log)
        self._lookup = LookupClient(context.loop, timeout, context.log, context.service.name)
        self.tables = LocalTables(self.parameters, self._lookup)
        self.users = Users(context.loop, timeout)
        self.threads = WorkerPool(_THREADS, context.service.name)  # for reading queue files
        self._rows: dict[str, DeliveryClient] = {}

    def row(self, name: str) -> DeliveryClient:
        """The client of a row that delivers."""
        client = self._rows.get(name)
        if client is None:
            context = self.context
            client = self._rows[name] = DeliveryClient(
                f"private/{name}",
                context.loop,
                self.parameters.delivery_timeout,
                context.log,
                _HANDED_OVER,
            )
        return client

    async def in_thread(self, work: Callable[[], Found]) -> Found:
        """Do what may block; it ends before a cancelled task does, and so before the descriptor."""
        step = self.context.loop.run_in_executor(self.threads, work)
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            raise

    def close(self) -> None:
        """Let go of everything."""
        for row in self._rows.values():
            row.close()
        self.rewrite.close()
        self.cleanup.close()
        self._lookup.close()
        self.mailuser.close()
        self.threads.shutdown(wait=False)
        self.users.close()


class Letter:
    """The House for one message, which is open at its content's descriptor."""

    def __init__(self, world: World, request: Deliver, content: ContentReader) -> None:
        self._world = world
        self._request = request
        self._content = content

    async def alias(self, name: str) -> Alias | None:
        """See `House`."""
        found = await self._world.tables.alias(name)
        if found is None or found.owner == 0:
            return None if found is None else Alias(found.value)
        owner = await self._world.users.by_uid(found.owner)
        if owner is None:
            reason = f"the owner of its table, uid {found.owner}, is no user"
            temporary("4.3.5", "cannot find the owner of the alias database", f"{name}: {reason}")
        return Alias(found.value, owner)

    async def find(self, parameter: str, name: str) -> str | None:
        """See `House`."""
        return await self._world.tables.find(parameter, name)

    async def account(self, name: str) -> Account | None:
        """See `House`."""
        return await self._world.users.by_name(name)

    async def route(self, address: str) -> Route:
        """See `House`."""
        resolved = await self._world.rewrite.resolve(address)
        is_ours = resolved.transport == self._world.context.service.name
        return Route(resolved.address, is_ours and resolved.domain_class is DomainClass.LOCAL)

    async def read(self, user: str, path: str) -> FileRead:
        """See `House`."""
        return await self._world.mailuser.read_file(ReadFile(user, path, _FILE_LIMIT))

    async def store(
        self, user: str, kind: MailboxKind, path: str, sender: str, prefix: bytes
    ) -> Status:
        """See `House`."""
        parameters, request = self._world.parameters, self._request
        is_file = kind is MailboxKind.MBOX
        stored = await self._world.mailuser.store(
            StoreMessage(
                user=user,
                kind=kind,
                path=path,
                sender=sender,
                prefix=prefix,
                content_offset=request.content_offset,
                content_length=request.content_length,
                size_limit=parameters.mailbox_size_limit if is_file else 0,
                locks=parameters.mailbox_delivery_lock if is_file else (),
            ),
            self._content.descriptor,
        )
        return stored.status

    async def run(
        self, user: str, command: str, directory: str, environment: Environment, prefix: bytes
    ) -> CommandEnded:
        """See `House`."""
        request = self._request
        arguments, shell = _arguments(command)
        return await self._world.mailuser.run(
            RunCommand(
                user=user,
                arguments=arguments,
                shell=shell,
                directory=directory,
                environment=tuple((self._world.exported | dict(environment)).items()),
                prefix=prefix,
                content_offset=request.content_offset,
                content_length=request.content_length,
                crlf=False,
                seconds=self._world.parameters.command_time_limit,
            ),
            self._content.descriptor,
        )

    async def hand_over(self, transport: str, recipient: Recipient) -> Status:
        """See `House`."""
        row, _, nexthop = transport.partition(":")
        if row == self._world.context.service.name:
            temporary("4.3.5", "mail system configuration error", f"{transport} is this row")
        to = DeliverRecipient(0, recipient.address, recipient.original)
        request = replace(self._request, recipients=(to,), nexthop=nexthop or self._request.nexthop)
        try:
            outcomes = await self._world.row(row).deliver(request, self._content.descriptor)
        except RequestLost as error:
            temporary("4.3.0", "delivery agent died", str(error))
        told = {outcome.index: outcome.status for outcome in outcomes.outcomes}
        if to.index not in told:
            temporary("4.3.0", "delivery agent gave no outcome", transport)
        return told[to.index]

    async def forward(self, sender: str, recipients: Sequence[Recipient], delivered: str) -> str:
        """See `House`."""
        world, request = self._world, self._request
        origin = Origin(FORWARDED, "", 0, "", world.context.service.name)
        transaction = world.cleanup.begin(sender, origin, request.body_8bit)
        chunks = self._content.chunks()
        try:
            transaction.recipients(recipients)
            await transaction.content(f"Delivered-To: {delivered}\r\n".encode())
            while not transaction.failed:
                chunk = await world.in_thread(lambda: next(chunks, b""))
                if not chunk:
                    break
                await transaction.content(chunk)
        except BaseException:
            transaction.abort()
            raise
        queue_id = await transaction.commit()
        world.context.log.info(
            "forwarded", queue_id=request.queue_id, copy=queue_id, recipients=len(recipients)
        )
        return queue_id

    async def turn(self) -> None:
        """See `House`."""
        await asyncio.sleep(0)

    def warn(self, event: str, **fields: str | int) -> None:
        """See `House`."""
        self._world.context.log.warning(event, queue_id=self._request.queue_id, **fields)


def _arguments(command: str) -> tuple[tuple[str, ...], bool]:
    """What is executed, and whether a shell has to understand it."""
    words = command.split()
    if _PLAIN.issuperset(command) and words[0].startswith("/"):
        return tuple(words), False
    return (command,), True
