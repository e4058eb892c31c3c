"""One message on its way to cleanup, whichever door it came by.

Addresses are completed here, as smtpd does it with those that clients name; what is no address
stays as it is, and the queue manager returns it. Line ends are put right.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from mta.daemons.pickup.lines import LineEnds
from mta.ipc.cleanup import CleanupClient, Transaction
from mta.ipc.rewrite import RewriteClient
from mta.master.permission import Permission
from mta.proto.envelope import LOCAL, Origin, Recipient
from mta.proto.status import MailError, permanent
from mta.queue.room import NO_SPACE, RoomWatch
from mta.util.log import Log

__all__ = ["Passage", "Services"]

_RECIPIENTS_LIMIT: Final = 100_000


class Services(Struct, frozen=True):
    """What a passage asks, and what the daemon knows of its queue."""

    cleanup: CleanupClient
    rewrite: RewriteClient
    may_submit: Permission
    room: RoomWatch
    least_room: int  # octets
    name: str  # of the row
    log: Log

    def check_room(self) -> None:
        """MailError (452 4.3.1) while the queue's file system takes no mail."""
        room = self.room.room()
        if room.octets < self.least_room:
            reason = room.obstacle or f"{room.octets} octets free, {self.least_room} wanted"
            raise MailError(NO_SPACE, reason)

    async def completed(self, address: str) -> str:
        """The address in full, or as it is if it is none; a temporary MailError if that fails."""
        try:
            return (await self.rewrite.resolve(address)).address
        except MailError as error:
            if not error.status.is_permanent:
                raise
            return address


class Passage:
    """One message: `recipients`, then `content`, then `commit`; or `abort` at any time.

    MailError of any method is final.
    """

    def __init__(self, services: Services, uid: int, sender: str, body_8bit: bool) -> None:
        self.sender = sender
        self.size = 0  # octets of content
        self.count = 0  # recipients
        self._services = services
        self._uid = uid
        self._body_8bit = body_8bit
        self._lines = LineEnds()
        self._transaction: Transaction | None = None

    @property
    def failed(self) -> bool:
        """Whether the rest need not be said: `commit` tells why."""
        return self._transaction is not None and self._transaction.failed

    async def recipients(self, addresses: Iterable[str]) -> None:
        """Add recipients."""
        transaction = await self._begun()
        for address in addresses:
            self.count += 1
            if self.count > _RECIPIENTS_LIMIT:
                permanent("5.5.3", "Too many recipients", code=552)
            if not address:
                permanent("5.1.3", "An empty recipient address", code=501)
            completed = await self._services.completed(address)
            transaction.recipients((Recipient(completed, address),))

    async def content(self, data: bytes) -> None:
        """Add content; waits while cleanup does not keep up."""
        transaction = await self._begun()
        self.size += len(data)
        await transaction.content(self._lines.feed(data))

    async def commit(self) -> str:
        """End the message; the queue id under which it is on stable storage."""
        transaction = await self._begun()
        await transaction.content(self._lines.end())
        return await transaction.commit()

    def abort(self) -> None:
        """Give the message up."""
        if self._transaction is not None:
            self._transaction.abort()

    async def _begun(self) -> Transaction:
        if self._transaction is None:
            services = self._services
            await services.may_submit.check(self._uid)
            services.check_room()
            if self.sender and "@" not in self.sender:
                self.sender = await services.completed(self.sender)
            origin = Origin(LOCAL, "", 0, str(self._uid), services.name)
            self._transaction = services.cleanup.begin(self.sender, origin, self._body_8bit)
        return self._transaction
