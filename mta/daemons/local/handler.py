"""Delivery requests in; each recipient is expanded by itself, and has one outcome.

What was done for one recipient of a message is not done again for the next one, if the first is
delivered: what must be tried again, or has failed, counts for nobody else.
"""

from collections.abc import Sequence
from typing import Final

from mta.config.tables import TableFolders
from mta.daemons.local.expansion import Expansion
from mta.daemons.local.world import Letter, Mailuser, World
from mta.delivery.agent import DeliveryAgent, Result
from mta.delivery.content import ContentReader
from mta.delivery.trace import delivered_to
from mta.ipc.mailuser import MailuserClient
from mta.ipc.messages import Deliver, DeliverRecipient
from mta.master.daemon import Context
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import MailError, Status
from mta.queue.errors import QueueFileError
from mta.queue.reader import read_passed

__all__ = ["LocalHandler"]

_NOBODY: Final = Origin("", "", 0, "", "")
_UNFORESEEN: Final = Status(451, "4.3.0", "mail system error")


class LocalHandler(DeliveryAgent):
    """The daemon's handler."""

    def __init__(self, context: Context, mailuser: Mailuser | None = None) -> None:
        super().__init__(context.service.name, context.log, context.used, self._deliver_all)
        if mailuser is None:
            timeout = context.parameters.ipc_timeout
            mailuser = MailuserClient(context.loop, timeout, context.log)
        self._context = context
        self._parameters = context.parameters
        self._world = World(context, mailuser)
        views = map(context.snapshot.parameters_for, context.snapshot.services)
        self._folders = TableFolders(views)

    async def stop(self) -> None:
        """Let go of the other services and of the threads."""
        self._world.close()

    async def _deliver_all(self, request: Deliver, content: ContentReader) -> list[Result]:
        origin, headers = await self._world.in_thread(lambda: self._read(request, content))
        passed = delivered_to(headers)
        letter = Letter(self._world, request, content)
        seen: set[tuple[str, ...]] = set()
        results = []
        for recipient in request.recipients:
            mine = set(seen)
            expansion = Expansion(self._parameters, letter, origin, passed, mine)
            result = await self._deliver_one(expansion, recipient, request.sender)
            if not (result.status.is_temporary or result.status.is_permanent):
                seen = mine
            results.append(result)
        self._look_at_tables(results)
        return results

    def _look_at_tables(self, results: Sequence[Result]) -> None:
        """A table that moved is not granted to this process, but to a new one."""
        if any(it.status.is_temporary for it in results) and self._folders.moved:
            self._context.log.info("tables_moved")
            self._context.retire()

    async def _deliver_one(
        self, expansion: Expansion, recipient: DeliverRecipient, sender: str
    ) -> Result:
        """One recipient; what is wrong with him is no matter of the rest."""
        to = Recipient(recipient.address, recipient.original)
        relay = self._context.service.name
        try:
            return Result(recipient.index, await expansion.deliver(to, sender), relay)
        except MailError as error:
            return Result(recipient.index, error.status, relay, error.reason)
        except Exception as error:  # noqa: BLE001 - a defect costs this recipient a retry
            self._context.log.failure("delivery_failed", error)
            return Result(recipient.index, _UNFORESEEN, relay, repr(error))

    def _read(self, request: Deliver, content: ContentReader) -> tuple[Origin, bytes]:
        """Where the message came in, for commands that want to know, and its header section."""
        headers = content.headers(self._parameters.header_size_limit)
        try:
            file = read_passed(request.queue_id, content.descriptor)
        except (QueueFileError, OSError):  # it is told to commands where it is known, and no more
            return _NOBODY, headers
        return file.envelope.origin, headers
