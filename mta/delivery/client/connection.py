"""One connection to a server: octets in and out, and how long each side waits.

    waiting for               ends with                    time
    a reply                   the whole reply              its stage's timeout, from when it is due
    the server to read on     the kernel took the piece    smtp_data_xfer_timeout
    both                      the end of the connection

A reply that comes meanwhile is never missed: not while content is sent, and not when the server
said it and hung up at once. Who waits for an event is woken for that alone: what the engine has to
say to the replies before it goes out as they come. What octets mean is the engine's
(mta.proto.smtp.client).
"""

import asyncio
import os
import socket
from contextlib import suppress
from typing import Final, cast

from mta.delivery.client.terms import Endpoint, Terms
from mta.delivery.client.tls import opportunistic
from mta.proto.smtp.client import ClientEngine
from mta.proto.smtp.client_events import ClientEvent, Stage
from mta.util.deadline import Deadline
from mta.util.handshake import describe, start_tls

__all__ = ["Connection", "Interrupted", "connect"]

_WRITE_AHEAD: Final = 1  # octet that may wait under TLS: pause when the layer below is full
_BACKLOG_PAUSE: Final = 0.01  # seconds between attempts while a UNIX listener's backlog is full
_LAST_WORDS: Final = 65536  # octets that are read after the end


class Interrupted(Exception):  # noqa: N818 - what happened, not what is wrong
    """The server is gone or, `timed_out`, let us wait too long, while it owed us `stage`."""

    def __init__(self, stage: Stage, *, timed_out: bool) -> None:
        super().__init__(stage.doing)
        self.stage = stage
        self.timed_out = timed_out


async def connect(
    loop: asyncio.AbstractEventLoop, endpoint: Endpoint, engine: ClientEngine, terms: Terms
) -> "Connection":
    """Connect within the terms' time; OSError tells why that failed."""
    async with asyncio.timeout(terms.connect_timeout):
        peer = await (_connect_inet if endpoint.port else _connect_unix)(loop, endpoint)
        try:
            connection = Connection(loop, engine, terms, peer)
            if endpoint.port:
                await loop.create_connection(lambda: connection, sock=peer)
            else:
                await loop.create_unix_connection(lambda: connection, sock=peer)
        except BaseException:
            peer.close()
            raise
    return connection


async def _connect_inet(loop: asyncio.AbstractEventLoop, endpoint: Endpoint) -> socket.socket:
    """Connect by hand: uvloop's sock_connect would look the address up in a thread."""
    family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
    socket.inet_pton(family, endpoint.address)  # or the socket would take it for a name
    peer = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with suppress(BlockingIOError):
            peer.connect((endpoint.address, endpoint.port))
            return peer
        await _writable(loop, peer)
        error = peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
    except BaseException:
        peer.close()
        raise
    return peer


async def _writable(loop: asyncio.AbstractEventLoop, peer: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(peer, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_writer(peer)


async def _connect_unix(_loop: asyncio.AbstractEventLoop, endpoint: Endpoint) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        while True:
            try:
                peer.connect(endpoint.address)
            except BlockingIOError:  # the backlog is full, and no event tells when it is not
                await asyncio.sleep(_BACKLOG_PAUSE)
            else:
                return peer
    except BaseException:
        peer.close()
        raise


class Connection(asyncio.Protocol):
    """The transport's protocol; one coroutine at a time may wait."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine: ClientEngine,
        terms: Terms,
        peer: socket.socket,
    ) -> None:
        self.tls = ""  # what was agreed on; "": plain text
        self._loop = loop
        self._engine = engine
        self._terms = terms
        self._peer = peer
        self._transport: asyncio.Transport | None = None  # while the connection lives
        self._waiter: asyncio.Future[bool] | None = None  # see `_wait`
        self._deadline = Deadline(loop, self._too_late)
        self._owed: tuple[int, Stage] | None = None  # of replies, and what comes next
        self._unsent = False  # the kernel does not have all that was sent, or will never have

    @property
    def alive(self) -> bool:
        """Whether nobody has hung up."""
        return self._transport is not None and not self._transport.is_closing()

    # What the owner does

    async def event(self) -> ClientEvent:
        """The next event of the engine; Interrupted if it does not come in time, or at all."""
        self._owed = None
        while (event := self._engine.next_event()) is None:
            await self._wait()
        return event

    def send(self) -> None:
        """Send what is due."""
        data = self._engine.data_to_send()
        if not data:
            return
        if self._transport is not None:
            self._transport.write(data)
        if not self.alive:  # it was for nothing
            self._unsent = True

    async def drain(self) -> None:
        """Wait until the kernel has all that was sent, or the server has given up the message.

        Interrupted: the final dot, if it was sent at all, is not on its way.
        """
        self._owed = None
        while self._unsent and not self._engine.closed:
            await self._wait()

    async def start_tls(self) -> None:
        """Handshake; OSError tells why it failed."""
        transport = self._transport
        if transport is None:
            raise ConnectionAbortedError("connection lost")
        self._transport = await start_tls(
            self._loop,
            transport,
            self,
            opportunistic(),
            patience=self._terms.starttls_timeout,
            write_ahead=_WRITE_AHEAD,
        )
        self.tls = describe(self._transport)

    def close(self) -> None:
        """Send what is due, and hang up; nobody is waited for.

        The kernel has taken it by then, or the server does not read. What close() says in TLS goes
        out at once; abort() spares the answer, and leaves nothing behind in the loop.
        """
        self.send()
        if self._transport is not None and not self._unsent:
            self._transport.close()
        self.abort()

    def abort(self) -> None:
        """Hang up in the middle of whatever it is."""
        if self._transport is not None:
            self._transport.abort()

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have the transport pause us whenever the kernel does not take all at once."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Let the engine see what came; a session that it ends while nobody looks is over."""
        engine = self._engine
        engine.receive(data)
        self.send()
        if self._waiter is None:
            if engine.closed:
                self.close()
        elif engine.has_event:
            self._end_wait(True)
        else:
            self._be_patient()

    def pause_writing(self) -> None:
        """The server reads too slowly."""
        self._unsent = True

    def resume_writing(self) -> None:
        """It has read."""
        self._unsent = False
        self._end_wait(True)

    def connection_lost(self, error: Exception | None) -> None:
        """Take the last words of a server that answered, and hung up on what we were sending.

        The kernel still has them when a write has failed before they were read.
        """
        del error
        self._transport = None
        self._deadline.close()
        if not self.tls and not self._engine.closed:
            with suppress(OSError):
                self._engine.receive(self._peer.recv(_LAST_WORDS, socket.MSG_DONTWAIT))
            self.send()  # nothing, but what was due is known to be unsent
        self._end_wait(True)

    # Waiting

    @property
    def _stage(self) -> Stage:
        """What the server is to do next: read the content before it answers the end of that."""
        stage = self._engine.stage
        return Stage.CONTENT if self._unsent and stage is Stage.END else stage

    async def _wait(self) -> None:
        """Wait for an event, or for the kernel; Interrupted as the public methods say."""
        if self._transport is None:
            raise Interrupted(self._stage, timed_out=False)
        self._be_patient()
        self._waiter = self._loop.create_future()
        if not await self._waiter:
            raise Interrupted(self._stage, timed_out=True)

    def _be_patient(self) -> None:
        """Give the server time when something else is due than before: octets alone buy none."""
        owed = (self._engine.replies, self._stage)
        if owed != self._owed:
            self._owed = owed
            self._deadline.set(self._loop.time() + self._terms.timeout(owed[1]))

    def _too_late(self, _due: float) -> None:
        self._end_wait(False)

    def _end_wait(self, happened: bool) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():  # its task may have been cancelled
            waiter.set_result(happened)


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
