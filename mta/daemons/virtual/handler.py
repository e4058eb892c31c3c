"""The daemon as the skeleton sees it: places are asked for in the loop, the disk in threads."""

from functools import partial
from typing import Final

from mta.config.tables import TableFolders
from mta.daemons.virtual.mailboxes import VirtualMailboxes
from mta.daemons.virtual.places import Place, Places
from mta.delivery.agent import DeliveryAgent, DeliveryThreads, Result, result_of
from mta.delivery.content import ContentReader
from mta.ipc.lookup import LookupClient
from mta.ipc.maps import open_maps
from mta.ipc.messages import Deliver, DeliverRecipient
from mta.master.daemon import Context
from mta.proto.status import MailError, Status

__all__ = ["VirtualHandler"]

_THREADS: Final = 16  # deliveries that wait for the disk at once
_MAPS: Final = "virtual_mailbox_maps"


class VirtualHandler(DeliveryAgent):
    """Delivery requests in, mail in mailboxes out."""

    def __init__(self, context: Context) -> None:
        name, parameters = context.service.name, context.parameters
        self._context = context
        self._relay = name
        self._lookup = LookupClient(context.loop, parameters.ipc_timeout, context.log, name)
        maps = open_maps(_MAPS, parameters.virtual_mailbox_maps, self._lookup)
        self._places = Places(parameters, maps)
        self._folders = TableFolders([parameters])
        self._mailboxes = VirtualMailboxes(parameters)
        self._threads = DeliveryThreads(name, min(_THREADS, context.service.client_limit))
        super().__init__(name, context.log, context.used, self._begin)

    async def stop(self) -> None:
        """Let the threads end."""
        self._threads.close()
        self._lookup.close()

    async def _begin(self, request: Deliver, content: ContentReader) -> list[Result]:
        found = [(each, await self._find(each)) for each in request.recipients]

        def work(own: ContentReader) -> list[Result]:
            results = []
            for recipient, place in found:
                put = partial(self._put, request, recipient, own, place)
                results += result_of(self._relay, (recipient,), put)
            return results

        return await self._threads.run(content, work)

    async def _find(self, recipient: DeliverRecipient) -> Place | MailError:
        """The place, or why there is none: one recipient's trouble is not another's."""
        try:
            return await self._places.find(recipient.address)
        except MailError as error:
            if error.status.is_temporary and self._folders.moved:
                # The sandbox grants folders as they were at the start: a new process may read.
                self._context.log.info("tables_moved")
                self._context.retire()
            return error

    def _put(
        self,
        request: Deliver,
        recipient: DeliverRecipient,
        content: ContentReader,
        place: Place | MailError,
    ) -> Status:
        if isinstance(place, MailError):
            raise place
        return self._mailboxes.deliver(request, recipient, content, place)
