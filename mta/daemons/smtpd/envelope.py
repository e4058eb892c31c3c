"""One mail transaction (RFC 5321, 3.3): MAIL, RCPT, DATA, content, and the verdict.

Nothing of it is ours before `commit` returns a queue id; until then `abort` undoes all of it.
"""

from msgspec import Struct

from mta.daemons.smtpd.policy import check_listed, check_relay
from mta.daemons.smtpd.storage import Storage
from mta.ipc.cleanup import CleanupClient, Transaction
from mta.ipc.messages import Resolved
from mta.ipc.rewrite import RewriteClient
from mta.proto.envelope import Origin, Recipient
from mta.proto.relay import Client, Networks
from mta.proto.smtp.events import Mail, Rcpt
from mta.proto.status import MailError

__all__ = ["MailTransaction", "Services"]


class Services(Struct, frozen=True):
    """What a transaction asks."""

    rewrite: RewriteClient
    cleanup: CleanupClient
    mynetworks: Networks
    storage: Storage
    reject_unlisted: bool  # recipients that do not exist, as far as tables tell


class MailTransaction:
    """The envelope as it grows, then the way of the content to cleanup."""

    __slots__ = (
        "_body_8bit",
        "_cleanup",
        "_client",
        "_services",
        "recipients",
        "sender",
        "size",
    )

    def __init__(self, services: Services, client: Client, mail: Mail) -> None:
        self.sender = mail.sender
        self.recipients: list[Recipient] = []
        self.size = 0  # octets of content
        self._body_8bit = mail.body_8bit
        self._services = services
        self._client = client
        self._cleanup: Transaction | None = None

    def announce(self, size: int) -> None:
        """Begin with MAIL; MailError while the queue takes no message, or none of that size."""
        self._services.storage.check(size)

    def add_known(self, rcpt: Rcpt) -> bool:
        """Check one recipient whose route is known; False: await `add_recipient` instead.

        MailError if it is refused.
        """
        listed = self._services.reject_unlisted
        resolved = self._services.rewrite.known(rcpt.address, listed=listed)
        if resolved is None:
            return False
        self._add(rcpt, resolved)
        return True

    async def add_recipient(self, rcpt: Rcpt) -> None:
        """Resolve and check one recipient; MailError if it is refused."""
        listed = self._services.reject_unlisted
        self._add(rcpt, await self._services.rewrite.resolve(rcpt.address, listed=listed))

    def begin_content(self, origin: Origin) -> None:
        """Open the way to cleanup; MailError while the queue takes no message."""
        self._services.storage.begin()
        self._cleanup = self._services.cleanup.begin(self.sender, origin, self._body_8bit)
        self._cleanup.recipients(self.recipients)

    def add_content(self, octets: bytes) -> bool:
        """Pass content on, as far as cleanup takes it; False: await `flush` before there is more.

        What comes after a failure is not needed: commit says what it was.
        """
        assert self._cleanup is not None
        self.size += len(octets)
        return self._cleanup.failed or self._cleanup.gather(octets)

    async def flush(self) -> None:
        """Wait until cleanup has taken enough."""
        assert self._cleanup is not None
        await self._cleanup.flush()

    async def commit(self) -> str:
        """Await cleanup's verdict: the queue id, or MailError."""
        assert self._cleanup is not None
        storage = self._services.storage
        try:
            queue_id = await self._cleanup.commit()
        except MailError as error:
            storage.refused(error)
            raise
        storage.accepted()
        return queue_id

    def abort(self) -> None:
        """Forget the transaction; cleanup discards what it got of it."""
        if self._cleanup is not None:
            self._cleanup.abort()

    def _add(self, rcpt: Rcpt, resolved: Resolved) -> None:
        trusted = self._client in self._services.mynetworks
        check_relay(resolved, rcpt.original, trusted=trusted)
        check_listed(resolved, rcpt.original)
        self.recipients.append(Recipient(resolved.address, rcpt.original))
