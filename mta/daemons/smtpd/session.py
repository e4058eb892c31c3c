"""One client: octets in and out, and who waits for whom.

    waiting for              meanwhile
    the client's octets      the wait is bounded (patience.py)
    another daemon           `_work` runs as a task; little more is read from the client
    the client to read       nothing is processed; the wait is bounded as well

What octets mean is the engine's (mta.proto.smtp.server), what mail means the transaction's.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

from mta.daemons.smtpd import replies
from mta.daemons.smtpd.envelope import MailTransaction, Services
from mta.daemons.smtpd.journal import Journal
from mta.daemons.smtpd.patience import Patience
from mta.daemons.smtpd.terms import Terms
from mta.daemons.smtpd.tls import HANDSHAKE_TIMEOUT
from mta.proto.envelope import Origin
from mta.proto.relay import Client
from mta.proto.smtp.events import (
    Closed,
    Content,
    Data,
    Hello,
    Mail,
    Rcpt,
    Rejected,
    Reset,
    Signal,
    StartTls,
)
from mta.proto.smtp.replies import (
    ACCEPTED_RECIPIENT,
    ACCEPTED_SENDER,
    READY_FOR_TLS,
    START_CONTENT,
    queued,
)
from mta.proto.smtp.server import ServerEngine
from mta.proto.status import MailError, Status
from mta.util.handshake import describe, start_tls
from mta.util.log import Log

__all__ = ["SmtpSession"]

READ_AHEAD: Final = 65536  # octets kept while the client waits for us; then reading pauses
WRITE_AHEAD: Final = 65536  # octets that wait until the client reads, with TLS as without it

NO_CLIENT: Final = Client("", 0)
NO_HELLO: Final = Hello("", False)

Question = Rcpt | Data | Content  # what another daemon must answer


class SmtpSession(asyncio.Protocol):
    """One SMTP session, from the greeting to the end; satisfies mta.master.session.Session."""

    idle = False  # a connected client keeps its process alive

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        terms: Terms,
        services: Services,
        finished: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._log = log
        self._terms = terms
        self._services = services
        self._finished = finished
        self._engine = ServerEngine(
            terms.hostname, terms.limits, terms.tls, soft_bounce=terms.soft_bounce
        )
        now = loop.time()
        self._patience = Patience(now, terms.timeout, terms.min_data_rate)
        self._journal = Journal(log, now)
        self._client = NO_CLIENT
        self._hello = NO_HELLO
        self._transaction: MailTransaction | None = None
        self._transport: asyncio.Transport | None = None  # while the connection lives
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._commands = 0  # those before the client's present turn
        self._must_read = False  # the client does not take our replies
        self._reading_paused = False
        self._client_ended = False  # it has sent its last octet, and may still read
        self._sees_it_through = False  # the task in hand ends by itself, connection or not
        self._expiring = False
        self._aborted = False

    async def open(self, client: socket.socket) -> None:
        """Take over the connected socket."""
        try:
            await self._loop.connect_accepted_socket(lambda: self, client)
        except OSError as error:
            client.close()
            self._log.warning("connect_failed", reason=str(error))
            self._finished()

    # What the daemon's skeleton wants

    def retire(self) -> None:
        """Nothing changes: a client need not know that this process takes no other one."""

    def expire(self) -> None:
        """Send the client away as soon as it has nothing in hand."""
        self._expiring = True
        if self._transport is not None and self._task is None:
            self._advance()

    def abort(self) -> None:
        """Hang up, even if a message is about to be acknowledged."""
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()
        if self._task is not None:
            self._task.cancel()

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client."""
        self._transport = cast("asyncio.Transport", transport)
        self._client = Client.from_peer(transport.get_extra_info("peername"))
        self._journal.connect(self._client)
        if self._aborted:
            self._transport.abort()
            return
        self._timer = self._loop.call_at(self._patience.due, self._look_at_clock)
        self._engine.greet(self._terms.banner)
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Process what came, unless something must be awaited first."""
        self._patience.received(len(data), self._loop.time())
        self._engine.receive(data)
        if self._task is None and not self._must_read:
            self._advance()
        elif self._engine.buffered > READ_AHEAD and not self._reading_paused:
            assert self._transport is not None
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep our direction open until all that came is answered; TLS knows no such thing."""
        self._client_ended = True
        if self._task is None and not self._must_read:
            self._advance()
        return not self._engine.secure

    def pause_writing(self) -> None:
        """The client does not read: process nothing more."""
        self._must_read = True

    def resume_writing(self) -> None:
        """It reads again."""
        self._must_read = False
        if self._task is None and self._transport is not None:
            self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        """End the session; a message whose last octet came is still committed and logged."""
        del error
        if self._transport is None:
            return  # a handshake failed, and that was the end already
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._task is None:
            self._finish()
            return
        self._task.add_done_callback(lambda _: self._finish())
        if not self._sees_it_through:
            self._task.cancel()

    # The session

    def _advance(self) -> None:
        """Process events until somebody must be waited for."""
        question = self._next_question()
        if question is not None:
            self._task = self._loop.create_task(self._work(question))

    def _next_question(self) -> Question | StartTls | None:
        """Process events up to one that needs another daemon; None: it is the client's turn."""
        engine = self._engine
        while not self._must_read:
            event = engine.next_event()
            match event:
                case Signal():
                    if not (self._expiring and engine.between):
                        break
                    engine.shut_down(replies.EXPIRED)
                case Rcpt() | Data() | Content():
                    if not self._answer_at_once(event):
                        return event
                case StartTls():
                    if self._prepare_handshake():
                        return event
                case Closed():
                    self._close()
                    return None
                case _:
                    self._settle(event)
        self._give_turn()
        return None

    def _settle(self, event: Mail | Hello | Reset | Rejected) -> None:
        """Do what an event asks of us alone."""
        match event:
            case Mail():
                self._engine.reply(self._announce(event))
            case Hello():
                self._hello = event
                self._journal.helo = event.name
                self._journal.protocol = self._protocol()
                self._drop()
            case Reset():
                self._drop()
            case Rejected():
                self._journal.reject(event.command, event.status, transaction=self._transaction)

    def _announce(self, mail: Mail) -> Status:
        self._transaction = transaction = MailTransaction(self._services, self._client, mail)
        try:
            transaction.announce(mail.size)
        except MailError as error:
            self._journal.reject("MAIL", error.status, transaction=transaction, reason=error.reason)
            self._drop()
            return error.status
        return ACCEPTED_SENDER

    def _give_turn(self) -> None:
        """Send the replies; the client is to act."""
        assert self._transport is not None
        if self._transport.is_closing():
            return
        data = self._engine.data_to_send()
        if data:
            self._transport.write(data)
        if self._must_read:
            return
        if self._client_ended:
            self._close()
            return
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        commands = self._engine.commands
        if commands != self._commands and not self._engine.in_content:
            self._commands = commands
            self._patience.await_command(self._loop.time())

    async def _work(self, question: Question | StartTls | None) -> None:
        """Ask other daemons, and go on with what follows, until it is the client's turn."""
        began = self._loop.time()
        try:
            while question is not None:
                if isinstance(question, StartTls):
                    await self._shake_hands()
                    status = None
                else:
                    status = await self._answer(question)
                if self._transport is None:
                    return
                if status is not None:
                    self._engine.reply(status)
                question = self._next_question()
        except Exception as error:  # noqa: BLE001 - said, then the client has to come again
            self._journal.failure(error)
            if self._transport is not None:
                self._transport.abort()
        finally:
            self._task = None
            self._patience.excuse(self._loop.time() - began)

    def _answer_at_once(self, question: Question) -> bool:
        """Answer a question for which nobody must be awaited; False: that is `_answer`'s task."""
        transaction = self._transaction
        assert transaction is not None
        try:
            match question:
                case Rcpt():
                    if not transaction.add_known(question):
                        return False
                    status = ACCEPTED_RECIPIENT
                case Data():
                    transaction.begin_content(self._origin())
                    self._patience.await_content(self._loop.time())
                    status = START_CONTENT
                case Content():
                    return transaction.add_content(question.octets) and not question.last
        except Exception as error:  # noqa: BLE001 - said, then the client has to come again
            status = self._refused(question, error)
        self._engine.reply(status)
        return True

    async def _answer(self, question: Question) -> Status | None:
        """The reply to one event; None for a piece of content that is not the last."""
        transaction = self._transaction
        assert transaction is not None
        try:
            if isinstance(question, Rcpt):
                await transaction.add_recipient(question)
                return ACCEPTED_RECIPIENT
            if isinstance(question, Content) and question.last:
                return await self._commit(transaction)
            await transaction.flush()
        except Exception as error:  # noqa: BLE001 - said, then the client has to come again
            return self._refused(question, error)
        return None

    async def _commit(self, transaction: MailTransaction) -> Status:
        self._sees_it_through = True
        try:
            queue_id = await transaction.commit()
        finally:
            self._sees_it_through = False
        self._transaction = None
        self._journal.accepted(queue_id, transaction)
        return queued(queue_id)

    def _refused(self, question: Question, error: Exception) -> Status:
        """Say in the log why; the reply that the client gets."""
        if isinstance(error, MailError):
            status, reason = error.status, error.reason
        elif isinstance(question, Content) and not question.last:
            raise error  # no reply is due that could tell the client
        else:
            status, reason = replies.INTERNAL, str(error)
            self._journal.failure(error)
        recipient = question.original if isinstance(question, Rcpt) else ""
        self._journal.reject(
            "RCPT" if recipient else "DATA",
            status,
            transaction=self._transaction,
            recipient=recipient,
            reason=reason,
        )
        if not recipient:
            self._drop()
        return status

    def _origin(self) -> Origin:
        return Origin(
            self._protocol(),
            self._client.address,
            self._client.port,
            self._hello.name,
            self._terms.service,
        )

    def _protocol(self) -> str:
        """The protocol's name in trace fields (RFC 3848)."""
        if not self._hello.extended:
            return "SMTP"
        return "ESMTPS" if self._engine.secure else "ESMTP"

    def _drop(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.abort()

    # TLS

    def _prepare_handshake(self) -> bool:
        """Answer STARTTLS; True if the client is to begin the handshake now."""
        assert self._transport is not None
        # A client that has ended cannot shake hands: it gets what answers it may still read.
        if self._client_ended or self._terms.certificate.context() is None:
            self._engine.reply(replies.NO_TLS)
            return False
        # What comes after the 220 is for TLS: nothing may be read before that has begun.
        self._transport.pause_reading()
        self._reading_paused = False
        self._engine.reply(READY_FOR_TLS)
        self._drop()
        self._transport.write(self._engine.data_to_send())
        return True

    async def _shake_hands(self) -> None:
        """Go over to TLS; where that fails the session is at its end."""
        plain, context = self._transport, self._terms.certificate.context()
        assert plain is not None
        assert context is not None
        secure: asyncio.Transport | None = None
        self._sees_it_through = True  # it will hear why the connection was lost
        try:
            secure = await start_tls(
                self._loop,
                plain,
                self,
                context,
                patience=min(self._terms.timeout, HANDSHAKE_TIMEOUT),
                write_ahead=WRITE_AHEAD,
            )
        except OSError as error:
            self._journal.tls_failed(str(error) or type(error).__name__)
        finally:
            self._sees_it_through = False
            if secure is None:
                plain.abort()
                self.connection_lost(None)  # uvloop does not tell of every failure
        if secure is not None:
            self._transport = secure
            self._must_read = False  # whoever waited for that was the plain transport
            self._engine.secured()
            self._hello = NO_HELLO
            self._journal.secured(describe(secure))

    # The end

    def _look_at_clock(self) -> None:
        """Hang up on a client that lets us wait; otherwise look again when that may be so."""
        assert self._transport is not None
        now = self._loop.time()
        due = now + self._terms.timeout if self._task is not None else self._patience.due
        if now < due:
            self._timer = self._loop.call_at(due, self._look_at_clock)
            return
        self._journal.timeout()
        if self._must_read or self._transport.is_closing():
            self._transport.abort()
            return
        self._timer = self._loop.call_at(now + self._terms.timeout, self._look_at_clock)
        self._engine.shut_down(replies.TIMEOUT)
        self._advance()

    def _close(self) -> None:
        """Say what is left to say, and hang up."""
        assert self._transport is not None
        data = self._engine.data_to_send()
        if data:
            self._transport.write(data)
        self._drop()
        self._transport.close()

    def _finish(self) -> None:
        self._drop()
        self._journal.disconnect(self._engine.commands, self._loop.time())
        self._finished()
