"""A session with smtpd as a client would have it: the commands, and the replies that come.

The replies are smtpd's own engine's (mta.proto.smtp.server), set up with the row's parameters, and
its law is smtpd's own (mta.proto.relay). Nothing is connected to.
"""

from typing import Final

from mta.config.parameters import Parameters
from mta.config.smtp_terms import greeting, limits
from mta.proto.relay import Client, Networks, refusal
from mta.proto.smtp.events import Closed, Content, Data, Mail, Rcpt, Signal, StartTls
from mta.proto.smtp.replies import (
    ACCEPTED_RECIPIENT,
    ACCEPTED_SENDER,
    READY_FOR_TLS,
    START_CONTENT,
    queued,
)
from mta.proto.smtp.server import ServerEngine, TlsLevel
from mta.proto.status import Status

__all__ = ["HANDSHAKE", "QUEUE_ID", "Session"]

HANDSHAKE: Final = "(TLS handshake)"
QUEUE_ID: Final = "QUEUE-ID"  # the one word of the session that nobody knows before


class Session:
    """What the client of an address and smtpd say, line by line: `C: ` and `S: `."""

    def __init__(self, parameters: Parameters, client: Client, transport: str) -> None:
        """`transport` carries mail for other domains; an empty one carries none."""
        self.lines: list[str] = []
        self._transport = transport
        self._trusted = client in Networks(parameters.mynetworks)
        self._engine = ServerEngine(
            parameters.myhostname,
            limits(parameters),
            TlsLevel(parameters.smtpd_tls_security_level),
            soft_bounce=parameters.soft_bounce,
        )
        self._engine.greet(greeting(parameters))
        self._hear()

    def say(self, *lines: str) -> None:
        """Say lines of one command or one message, and hear the answer."""
        self.lines += (f"C: {line}" for line in lines)
        self._engine.receive("".join(f"{line}\r\n" for line in lines).encode())
        self._hear()

    def secure(self) -> None:
        """Go over to TLS."""
        self.say("STARTTLS")
        self._engine.secured()
        self.lines.append(HANDSHAKE)

    def _hear(self) -> None:
        while not isinstance(event := self._engine.next_event(), Signal | Closed):
            match event:
                case Mail():
                    self._engine.reply(ACCEPTED_SENDER)
                case Rcpt():
                    self._engine.reply(self._refusal(event) or ACCEPTED_RECIPIENT)
                case Data():
                    self._engine.reply(START_CONTENT)
                case Content(last=True):
                    self._engine.reply(queued(QUEUE_ID))
                case StartTls():
                    self._engine.reply(READY_FOR_TLS)
        replies = self._engine.data_to_send().decode("ascii")
        self.lines += (f"S: {line}" for line in replies.splitlines())

    def _refusal(self, rcpt: Rcpt) -> Status | None:
        return refusal(rcpt.original, ours=False, trusted=self._trusted, transport=self._transport)
