"""What the log tells of a session: connect, tls, reject, accepted, disconnect."""

from mta.daemons.smtpd.envelope import MailTransaction
from mta.proto.relay import Client
from mta.proto.status import Status
from mta.util.log import Log

__all__ = ["Journal"]


class Journal:
    """Writes the records of one client."""

    __slots__ = ("_client", "_log", "_opened", "_tls", "helo", "messages", "protocol")

    def __init__(self, log: Log, now: float) -> None:
        self._log = log
        self._client = ""
        self._opened = now
        self._tls: str | None = None
        self.helo = ""
        self.protocol = "SMTP"
        self.messages = 0

    def connect(self, client: Client) -> None:
        """The client is greeted."""
        self._client = str(client)
        self._log.info("connect", client=self._client)

    def secured(self, tls: str) -> None:
        """TLS is on: the protocol and the cipher."""
        self._tls = tls
        self._log.info("tls", client=self._client, tls=tls)

    def tls_failed(self, reason: str) -> None:
        """The handshake came to nothing."""
        self._log.info("tls_failed", client=self._client, helo=self.helo, reason=reason)

    def reject(
        self,
        command: str,
        status: Status,
        *,
        transaction: MailTransaction | None = None,
        recipient: str = "",
        reason: str = "",
    ) -> None:
        """A command was refused; a reason of our own is worth a look."""
        note = self._log.warning if status.is_temporary and reason else self._log.info
        note(
            "reject",
            client=self._client,
            protocol=self.protocol,
            helo=self.helo,
            command=command,
            sender=transaction.sender if transaction else None,
            recipient=recipient,
            status=str(status),
            reason=reason,
        )

    def accepted(self, queue_id: str, transaction: MailTransaction) -> None:
        """A message is in the queue."""
        self.messages += 1
        self._log.info(
            "accepted",
            queue_id=queue_id,
            client=self._client,
            protocol=self.protocol,
            helo=self.helo,
            tls=self._tls,
            sender=transaction.sender,
            recipients=len(transaction.recipients),
            size=transaction.size,
        )

    def failure(self, error: Exception) -> None:
        """An error that nobody foresaw."""
        self._log.failure("session_failed", error, client=self._client, helo=self.helo)

    def timeout(self) -> None:
        """The client took too long."""
        self._log.info("timeout", client=self._client, helo=self.helo)

    def disconnect(self, commands: int, now: float) -> None:
        """The session is over."""
        self._log.info(
            "disconnect",
            client=self._client,
            helo=self.helo,
            commands=commands,
            messages=self.messages,
            seconds=round(now - self._opened, 3),
        )
