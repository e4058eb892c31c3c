"""The asking side: many small requests that share one connection, told apart by number.

The connection is opened on demand and opened again after a `Goodbye` or an end of file. What a
`Goodbye` leaves out is sent again on a new connection, for the server has not looked at it. What a
dying server leaves unanswered is sent again, once, if it is idempotent. Every request has one
deadline that covers all of this.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar

from mta.ipc.connection import Connection, Descriptors, MessageTypes, close_all
from mta.ipc.messages import Goodbye, Message, Refused
from mta.proto.status import MailError, Status
from mta.util.log import Log

__all__ = [
    "CONNECT_PAUSE",
    "NotListening",
    "RequestLost",
    "ServiceClient",
    "Unavailable",
    "closed_unless_watched",
    "connect",
]

Reply = TypeVar("Reply", bound=Message)

CONNECT_PAUSE: Final = 0.01  # seconds between attempts while a listener's backlog is full
NOTICES_LIMIT: Final = 10_000  # notifications that wait for a busy server


class Unavailable(MailError):  # noqa: N818 - a state of the service, as in Postfix's replies
    """A service gave no answer in time, or none that makes sense: try again later."""

    def __init__(self, reason: str) -> None:
        super().__init__(Status(451, "4.3.0", "Internal service unavailable"), reason)


class NotListening(Unavailable):
    """The socket is there and nobody listens: its master has just died, or is about to start."""


class RequestLost(Exception):  # noqa: N818 - what happened, not what is wrong
    """The server died with the request in hand: nothing is known about its outcome."""


def connect(path: str) -> socket.socket | None:
    """Connect to a SEQPACKET listener; None while its backlog is full.

    Raises `NotListening`, or `Unavailable` when there is no such socket or none left for us.
    """
    try:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    except OSError as error:  # out of descriptors or memory
        raise Unavailable(f"{path}: {error}") from error
    try:
        peer.connect(path)
    except BlockingIOError:
        peer.close()
        return None
    except OSError as error:
        peer.close()
        kind = NotListening if isinstance(error, ConnectionRefusedError) else Unavailable
        raise kind(f"{path}: {error}") from error
    return peer


@contextmanager
def closed_unless_watched(peer: socket.socket, path: str) -> Iterator[None]:
    """Close `peer` and raise `Unavailable` if the loop cannot watch it: see `Connection`."""
    try:
        yield
    except OSError as error:
        peer.close()
        raise Unavailable(f"{path}: {error}") from error


class _Request(Generic[Reply]):
    """One request, and who waits for its answer."""

    __slots__ = ("body", "channel", "descriptors", "future", "idempotent", "retried")

    def __init__(
        self,
        body: Message,
        descriptors: Descriptors,
        idempotent: bool,
        future: asyncio.Future[Reply | Refused],
    ) -> None:
        self.body = body
        self.descriptors = descriptors
        self.idempotent = idempotent
        self.future = future
        self.retried = False
        self.channel: _Channel[Reply] | None = None


class _Channel(Generic[Reply]):
    """One connection, and what is unanswered on it."""

    def __init__(self, client: "ServiceClient[Reply]", peer: socket.socket) -> None:
        self.unanswered: dict[int, _Request[Reply]] = {}
        self.last = 0
        self.served = False  # whether anything was answered here
        self._client = client
        self.connection = Connection[Reply | Refused | Goodbye](
            peer,
            client.loop,
            client.reply_type,
            name=client.path,
            log=client.log,
            received=self._received,
            closed=self._closed,
        )

    def send(self, request: _Request[Reply]) -> bool:
        """Whether the request is on its way; if not, this connection is dead."""
        if not self.notify(request.body, request.descriptors):
            return False
        request.channel = self
        self.unanswered[self.last] = request
        return True

    def notify(self, body: Message, descriptors: Descriptors = ()) -> bool:
        """Send under the next number; whether it is on its way."""
        self.connection.send(self.last + 1, body, descriptors)
        if self.connection.send_failed or self.connection.is_closed:
            return False
        self.last += 1
        return True

    def _received(
        self, number: int, body: Reply | Refused | Goodbye, descriptors: Descriptors
    ) -> None:
        close_all(descriptors)
        if isinstance(body, Goodbye):
            self._goodbye(body.last)
            return
        request = self.unanswered.pop(number, None)
        if request is None:
            self.connection.refuse(f"an answer to unknown number {number}")
            return
        self.served = True
        if not request.future.done():
            request.future.set_result(body)
        self._client.settle(self)

    def _goodbye(self, last: int) -> None:
        moved = [number for number in self.unanswered if number > last]
        self._client.leave(self, [self.unanswered.pop(number) for number in moved])

    def _closed(self, reason: str) -> None:
        self._client.lost(self, reason)


class ServiceClient(Generic[Reply]):
    """Requests to one service, over one shared connection; `timeout` is seconds for each."""

    def __init__(
        self,
        path: str,
        reply_type: MessageTypes,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        log: Log,
    ) -> None:
        self.path = path
        self.reply_type = reply_type
        self.loop = loop
        self.log = log
        self._timeout = timeout
        self._channel: _Channel[Reply] | None = None
        self._leaving: set[_Channel[Reply]] = set()
        self._waiting: deque[_Request[Reply]] = deque()  # not sent: no connection, or a full one
        self._notices: deque[Message] = deque()  # not sent: a full connection
        self._retry: asyncio.TimerHandle | None = None

    async def request(
        self,
        body: Message,
        descriptors: Descriptors = (),
        *,
        idempotent: bool,
        within: float | None = None,
    ) -> Reply:
        """Send one request and return its reply; `within`: seconds, if not the client's.

        Raises `MailError` when the service refused, `Unavailable` when it could not be reached or
        did not answer in time. The descriptors stay the caller's, open until this returns.
        """
        future: asyncio.Future[Reply | Refused] = self.loop.create_future()
        request = _Request(body, descriptors, idempotent, future)
        seconds = self._timeout if within is None else within
        timer = self.loop.call_later(seconds, self._expire, request, seconds)
        try:
            self._submit(request)
            reply = await future
        finally:
            timer.cancel()
        if isinstance(reply, Refused):
            raise MailError(reply.status, reply.reason)
        return reply

    def notify(self, body: Message) -> bool:
        """Send a message that has no reply, and never wait; whether it went, or soon will.

        A socket holds but a few frames (net.unix.max_dgram_qlen): while the server is busy with
        them, the message waits here for its turn.
        """
        for _ in range(2):  # a kept connection may turn out to be dead
            if self._channel is None:
                try:
                    self._open()
                except Unavailable as error:
                    self.log.warning("ipc_unavailable", reason=error.reason)
            channel = self._channel
            if channel is None:
                return False
            if self._notices or channel.connection.congested:
                return self._notify_later(body)
            if channel.notify(body):
                return True
            self.leave(channel, [])
        return False

    def _notify_later(self, body: Message) -> bool:
        if len(self._notices) >= NOTICES_LIMIT:
            return False
        self._notices.append(body)
        return True

    def close(self) -> None:
        """Close all connections; requests in hand fail."""
        channels = [channel for channel in (self._channel, *self._leaving) if channel is not None]
        in_hand = [request for channel in channels for request in channel.unanswered.values()]
        for request in (*in_hand, *self._waiting):
            _fail(request, Unavailable("the client closed"))
        for channel in channels:
            channel.connection.close()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    # Sending

    def _submit(self, request: _Request[Reply]) -> None:
        self._waiting.append(request)
        self._flush()

    def _flush(self) -> None:
        """Send what waits, as far as the peer takes it."""
        self._flush_notices()
        while self._waiting:
            if self._waiting[0].future.done():  # its deadline passed, or it was cancelled
                self._waiting.popleft()
                continue
            channel = self._channel or self._connect()
            if channel is None or channel.connection.congested:
                return
            request = self._waiting.popleft()
            try:
                sent = channel.send(request)
            except (ValueError, TypeError) as error:  # not to be encoded: for its own caller
                request.future.set_exception(error)
                continue
            if not sent:
                self.leave(channel, [request])
                return

    def _flush_notices(self) -> None:
        channel = self._channel
        while self._notices and channel is not None and not channel.connection.congested:
            if not channel.notify(self._notices.popleft()):
                self.leave(channel, [])
                return

    def _connect(self) -> _Channel[Reply] | None:
        """Open the connection; if not, what waits has failed or will be tried soon."""
        if self._retry is not None:
            return None
        try:
            self._open()
        except Unavailable as error:
            while self._waiting:
                _fail(self._waiting.popleft(), type(error)(error.reason))  # a traceback each
            return None
        if self._channel is None:
            self._flush_later(CONNECT_PAUSE)
        return self._channel

    def _open(self) -> None:
        peer = connect(self.path)
        if peer is not None:
            with closed_unless_watched(peer, self.path):
                self._channel = _Channel(self, peer)
            self._channel.connection.when_drained = self._flush

    def _flush_later(self, pause: float) -> None:
        if self._retry is None:
            self._retry = self.loop.call_later(pause, self._flush_again)

    def _flush_again(self) -> None:
        self._retry = None
        self._flush()

    # What befalls a channel

    def leave(self, channel: _Channel[Reply], moved: list[_Request[Reply]]) -> None:
        """Ask nothing more of a channel; send `moved`, which it has not looked at, elsewhere."""
        if self._channel is channel:
            self._channel = None
            self._leaving.add(channel)
            self._notices.clear()  # whoever comes after the server looks around by himself
        for request in reversed(moved):
            request.channel = None
            self._waiting.appendleft(request)
        self.settle(channel)
        self._go_on_after(channel)

    def settle(self, channel: _Channel[Reply]) -> None:
        """Close a channel that is left and has nothing more to answer."""
        if channel in self._leaving and not channel.unanswered:
            channel.connection.close()

    def lost(self, channel: _Channel[Reply], reason: str) -> None:
        """Retry what the end of a connection left unanswered, if that is safe; once."""
        self._leaving.discard(channel)
        if self._channel is channel:
            self._channel = None
            self._notices.clear()
        for request in channel.unanswered.values():
            request.channel = None
            if request.idempotent and not request.retried and not request.future.done():
                request.retried = True
                self._waiting.append(request)
            else:
                lost = f"{self.path}: the connection was lost: {reason or 'closed'}"
                _fail(request, Unavailable(lost))
        self._go_on_after(channel)

    def _go_on_after(self, channel: _Channel[Reply]) -> None:
        if self._waiting:
            # Servers that only come and go must not make us spin.
            self._flush_later(0.0 if channel.served else CONNECT_PAUSE)

    def _expire(self, request: _Request[Reply], seconds: float) -> None:
        _fail(request, Unavailable(f"{self.path}: no answer within {seconds:g} s"))
        channel = request.channel
        if channel is not None:
            # The server may be wedged: leave it to those who still hope for its answer.
            for number in [n for n, r in channel.unanswered.items() if r.future.done()]:
                del channel.unanswered[number]
            self.leave(channel, [])


def _fail(request: _Request[Any], error: Unavailable) -> None:
    if not request.future.done():
        request.future.set_exception(error)
