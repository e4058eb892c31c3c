"""One SMTP or LMTP session with one host: the engine, a connection, and the clock.

The law: whatever the peer does, `open` ends with a session or `SessionFailed` and `deliver` with a
verdict for each recipient, each within the time of its stage. A stage's time is for a whole reply:
one octet now and then buys no more. What is not understood is temporary.
"""

import asyncio
import os
from typing import Final

from mta.delivery.client.terms import Endpoint, Mail, SessionFailed, Terms, Verdict
from mta.delivery.client.tls import opportunistic_context
from mta.delivery.client.wire import Wire
from mta.delivery.content import ContentReader
from mta.proto.smtp.client import ClientEngine
from mta.proto.smtp.client_events import (
    Concluded,
    ContentWanted,
    Event,
    Ready,
    Refused,
    Stage,
    TlsAgreed,
    TlsDeclined,
)
from mta.proto.smtp.events import Signal
from mta.proto.status import MailError, Status

__all__ = ["ClientSession", "Endpoint", "Mail", "SessionFailed", "Terms", "Verdict"]

_TEXT_LIMIT: Final = 512  # characters of a status


class ClientSession:
    """An open session; not to be used by two tasks at once."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, terms: Terms, wire: Wire
    ) -> None:
        self.endpoint = endpoint
        self.opened = loop.time()
        self.messages = 0
        self.tls = ""
        self.lost_at_first = False
        self._loop = loop
        self._terms = terms
        self._wire = wire
        self._timed_out = False
        self._engine = ClientEngine(terms.helo_name, str(endpoint), lmtp=terms.lmtp)

    @classmethod
    async def open(
        cls, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, terms: Terms
    ) -> "ClientSession":
        """Connect, be greeted, say hello, and encrypt as the terms want it.

        SessionFailed when there is no session. At the level `may` a failed handshake is followed by
        one more attempt, in plain text.
        """
        level = terms.security_level if endpoint.port else "none"
        try:
            return await cls._begin(loop, endpoint, terms, level)
        except _HandshakeFailed as failure:
            if level == "encrypt":
                raise SessionFailed(failure.status, elsewhere=True) from failure
        return await cls._begin(loop, endpoint, terms, "none")

    @property
    def usable(self) -> bool:
        """Whether the session can carry another message."""
        data = self._wire.take()
        if data:  # an idle session has nothing to hear but its end
            self._engine.receive(data)
        return self._engine.usable and not self._wire.lost

    async def deliver(self, mail: Mail) -> list[Verdict]:
        """Carry one message: a verdict for each recipient, in their order.

        MailError (451 4.3.0) when the queue file cannot be read; the session is then of no use.
        """
        engine, before = self._engine, self._engine.replies
        everybody = len(mail.recipients)
        self.lost_at_first = kept = self.messages > 0
        self.messages += 1
        if not self.usable:
            status = self._broken("lost connection with {} while {}", Stage.MAIL)
            return [Verdict(status, elsewhere=True)] * everybody
        self.lost_at_first = False
        if mail.body_8bit and "8BITMIME" not in engine.extensions and _has_8bit(mail.content):
            return [Verdict(self._unconvertible(), elsewhere=False)] * everybody
        length = mail.content.length
        engine.mail(mail.sender, mail.recipients, length, body_8bit=mail.body_8bit)
        event = await self._next()
        if isinstance(event, ContentWanted):
            event = await self._send_content(mail.content)
        assert isinstance(event, Concluded), f"{event} in a transaction"
        # A 421 may have crossed our first command.
        silent = engine.over and engine.replies <= before + 1 and not self._timed_out
        self.lost_at_first = kept and silent and all(each.elsewhere for each in event.verdicts)
        return list(event.verdicts)

    def close(self) -> None:
        """Say QUIT without waiting for its answer, and close."""
        if self._wire.congested:
            self._wire.abort()  # a peer that does not read would keep us for ever
            return
        self._engine.quit()
        self._flush()
        self._wire.close()

    # Opening

    @classmethod
    async def _begin(
        cls, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, terms: Terms, level: str
    ) -> "ClientSession":
        session = cls(loop, endpoint, terms, await _connect(loop, endpoint, terms))
        try:
            await session._until_ready()
            if level != "none":
                await session._encrypt(required=level == "encrypt")
        except BaseException:
            session.close()
            raise
        return session

    async def _until_ready(self) -> None:
        event = await self._next()
        if isinstance(event, Refused):
            raise SessionFailed(event.status, event.elsewhere)
        assert isinstance(event, Ready), f"{event} while the session is opened"

    async def _encrypt(self, *, required: bool) -> None:
        if "STARTTLS" not in self._engine.extensions:
            if required:
                text = f"TLS is required, but was not offered by host {self.endpoint}"
                raise SessionFailed(_status("4.7.4", text, 450), elsewhere=True)
            return
        self._engine.start_tls()
        match await self._next():
            case TlsDeclined(status):
                if required:
                    raise SessionFailed(status, elsewhere=True)
                return
            case Refused(status):
                raise _HandshakeFailed(status)
            case event:
                assert isinstance(event, TlsAgreed), f"{event} in reply to STARTTLS"
        # A name tells the server which certificate to show (RFC 6066, 3); an address must not.
        name = self.endpoint.name if self.endpoint.name != self.endpoint.address else None
        timeout = self._terms.timeouts[Stage.TLS]
        try:
            self.tls = await self._wire.encrypt(opportunistic_context(), name, timeout)
        except (OSError, ValueError) as error:  # ValueError: a name that IDNA does not know
            text = f"TLS handshake with {self.endpoint} failed: {error}"
            raise _HandshakeFailed(_status("4.7.5", text)) from error
        self._engine.tls_started()
        await self._until_ready()

    # Waiting

    async def _next(self) -> Event:
        """Send what is due, and wait for the next event."""
        engine, wire = self._engine, self._wire
        self._flush()
        deadline, progress = self._deadline(), engine.replies
        while isinstance(event := engine.next_event(), Signal):
            if data := wire.take():
                engine.receive(data)
                self._flush()
            elif wire.lost:
                self._fail("lost connection with {} while {}", engine.stage)
            elif not await wire.wait(deadline):
                self._timed_out = True
                self._fail("conversation with {} timed out while {}", engine.stage)
            if engine.replies != progress:
                deadline, progress = self._deadline(), engine.replies
        return event

    def _deadline(self) -> float:
        return self._loop.time() + self._terms.timeouts[self._engine.stage]

    def _flush(self) -> None:
        data = self._engine.data_to_send()
        if data:
            self._wire.write(data)

    def _fail(self, text: str, stage: Stage) -> None:
        self._wire.abort()
        self._engine.fail(self._broken(text, stage))

    def _broken(self, text: str, stage: Stage) -> Status:
        what = stage.value.replace("EHLO", "LHLO") if self._terms.lmtp else stage.value
        return _status("4.4.2", text.format(self.endpoint, what))

    # Content

    async def _send_content(self, content: ContentReader) -> Event:
        """Send the content at the pace at which the server takes it, and await the verdicts."""
        engine, wire = self._engine, self._wire
        try:
            for chunk in content.chunks():
                engine.content(chunk)
                self._flush()
                if wire.congested:
                    await self._await_room()
                if wire.lost or engine.over:
                    return await self._next()
        except MailError:
            wire.abort()  # without its end the server will not take it for a message
            engine.quit()
            raise
        engine.end_content()
        return await self._next()

    async def _await_room(self) -> None:
        """Wait until the server takes more, or says what makes more needless."""
        engine, wire = self._engine, self._wire
        deadline = self._loop.time() + self._terms.timeouts[Stage.BODY]
        while wire.congested and not wire.lost and not engine.over:
            if data := wire.take():
                engine.receive(data)
            elif not await wire.wait(deadline):
                self._timed_out = True
                self._fail("conversation with {} timed out while {}", Stage.BODY)

    def _unconvertible(self) -> Status:
        """RFC 6152, 3: 8-bit content must not be sent, and we convert none."""
        text = f"host {self.endpoint} does not offer 8BITMIME, which the message needs"
        return _status("5.6.3", text, 554)


class _HandshakeFailed(Exception):  # noqa: N818
    """TLS was agreed upon and did not come about."""

    def __init__(self, status: Status) -> None:
        super().__init__(str(status))
        self.status = status


async def _connect(loop: asyncio.AbstractEventLoop, endpoint: Endpoint, terms: Terms) -> Wire:
    wire = Wire(loop)
    address, port = endpoint.address, endpoint.port
    try:
        async with asyncio.timeout(terms.connect_timeout):
            if port:
                await loop.create_connection(lambda: wire, address, port)
            else:
                await loop.create_unix_connection(lambda: wire, address)
    except TimeoutError:
        reason = "Connection timed out"
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
    else:
        return wire
    wire.abort()
    raise SessionFailed(_status("4.4.1", f"connect to {endpoint}: {reason}"), elsewhere=True)


def _has_8bit(content: ContentReader) -> bool:
    return any(not chunk.isascii() for chunk in content.chunks())


def _status(enhanced: str, text: str, code: int = 451) -> Status:
    return Status(code, enhanced, text.encode("ascii", "backslashreplace").decode()[:_TEXT_LIMIT])
