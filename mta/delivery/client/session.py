"""One session with a server: message after message over one connection.

The law: every recipient of a message gets exactly one verdict, and the final dot goes out only
behind the whole content. Whatever the peer does is a verdict, never an exception; what the words of
it are is in verdicts.py.
"""

import asyncio
from typing import Final

from mta.delivery.client import verdicts
from mta.delivery.client.connection import Connection, Interrupted
from mta.delivery.client.opening import open_connection
from mta.delivery.client.terms import Endpoint, Mail, SessionFailed, Terms, Verdict
from mta.delivery.content import ContentReader
from mta.proto.smtp.client import ClientEngine, fits_command
from mta.proto.smtp.client_events import Answer, Broken, ClientEvent, GoAhead, Refused, Stage

__all__ = ["ClientSession", "Endpoint", "Mail", "SessionFailed", "Terms", "Verdict"]

_LITTLE: Final = 65536  # octets of content that are read before the server asks for them
_AT_FIRST: Final = frozenset((Stage.IDLE, Stage.RSET, Stage.MAIL))


class ClientSession:
    """A session that was opened; not to be used by two messages at once."""

    def __init__(
        self,
        endpoint: Endpoint,
        connection: Connection,
        engine: ClientEngine,
        opened: float,
    ) -> None:
        """For `open`: connection and engine are ready."""
        self.endpoint = endpoint
        self.opened = opened  # the loop's time
        self.messages = 0  # whose delivery was tried here
        self.tls = connection.tls  # "TLSv1.3 with cipher ..."; "": plain text
        self._connection = connection
        self._engine = engine
        self._lost_at_first = False

    @classmethod
    async def open(
        cls, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, terms: Terms
    ) -> "ClientSession":
        """Connect and introduce ourselves, over TLS by the terms; SessionFailed."""
        connection, engine = await open_connection(loop, endpoint, terms)
        return cls(endpoint, connection, engine, loop.time())

    @property
    def usable(self) -> bool:
        """Whether it can carry another message: alive, and between transactions."""
        return self._engine.ready and self._connection.alive

    @property
    def lost_at_first(self) -> bool:
        """Whether the last message came to a kept session that had ended already.

        The server was gone, or said 421, before it answered anything about the message: a fresh
        session with the same host deserves a try.
        """
        return self._lost_at_first

    async def deliver(self, mail: Mail) -> list[Verdict]:
        """Carry one message; the verdicts are in the order of its recipients.

        MailError: the content cannot be read; nobody got it, and the session is to be closed.
        """
        kept = self.messages > 0
        self.messages += 1
        self._lost_at_first = False
        if not self.usable:
            self._lost_at_first = kept
            return [verdicts.lost(self.endpoint, Stage.MAIL)] * len(mail.recipients)
        unfit = verdicts.unfit(self.endpoint, mail, self._engine.extensions)
        if unfit is not None:
            return [unfit] * len(mail.recipients)
        fit = [address for address in mail.recipients if fits_command(address)]
        told = await self._converse(mail, fit, kept) if fit else []
        if len(fit) == len(mail.recipients):
            return told
        rest = iter(told)
        return [
            next(rest) if fits_command(address) else verdicts.NOT_ASCII
            for address in mail.recipients
        ]

    def close(self) -> None:
        """Say QUIT, do not wait for the answer, and hang up."""
        if self.usable:
            self._engine.quit()
            self._connection.close()
        else:
            self._connection.abort()

    async def _converse(self, mail: Mail, recipients: list[str], kept: bool) -> list[Verdict]:
        """One transaction: a verdict for each of the recipients."""
        engine, connection, size = self._engine, self._connection, mail.content.length
        whole = mail.content.whole() if size <= _LITTLE else None
        try:
            engine.begin(mail.sender, recipients, size, body_8bit=mail.body_8bit, content=whole)
            connection.send()
            event = await connection.event()
            if isinstance(event, GoAhead):
                await self._send_content(mail.content)
                event = await connection.event()
            rest, at_first = self._judge(event)
        except Interrupted as end:
            verdict = verdicts.too_slow if end.timed_out else verdicts.lost
            rest = verdict(self.endpoint, end.stage)
            at_first = end.stage in _AT_FIRST and not end.timed_out
        finally:
            self._leave()
        self._lost_at_first = kept and at_first
        return [self._verdict(answer, rest) for answer in engine.answers]

    def _judge(self, event: ClientEvent) -> tuple[Verdict | None, bool]:
        """The verdict for those of whom the server said nothing; whether it was gone at first."""
        match event:
            case Refused():
                return verdicts.refused(self.endpoint, event), event.stage in _AT_FIRST
            case Broken():
                return verdicts.broken(self.endpoint, event), False
            case _:
                closing = self._engine.closed
                return None, closing and all(map(_says_421_to_mail, self._engine.answers))

    def _verdict(self, answer: Answer | None, rest: Verdict | None) -> Verdict:
        if answer is not None:
            return verdicts.answered(self.endpoint, answer)
        assert rest is not None  # a transaction that finished has an answer for everyone
        return rest

    def _leave(self) -> None:
        """End the session behind a transaction, unless the server is ready for another."""
        if self._engine.closed:
            self._connection.close()
        elif not self._engine.ready:
            self._connection.abort()

    async def _send_content(self, content: ContentReader) -> None:
        """Send it piece by piece; less, if the server gives it up before."""
        engine, connection = self._engine, self._connection
        left = content.length
        for chunk in content.chunks():
            engine.content(chunk)
            left -= len(chunk)
            if left:
                connection.send()
                await connection.drain()
                await asyncio.sleep(0)  # an early answer has its chance, before a write can fail
                if engine.closed:
                    return
        engine.end_content()
        connection.send()
        await connection.drain()


def _says_421_to_mail(answer: Answer | None) -> bool:
    return answer is not None and answer.stage is Stage.MAIL and answer.reply.code == 421
