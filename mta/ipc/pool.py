"""The asking side for conversations: one at a time on a connection, which is used again afterwards.

A conversation has one number and one reply; it may consist of many frames. Where a `Goodbye` shows
that the server has not looked at it, or where its first frame meets a dead connection, it moves to
a new connection unnoticed: its first frames are kept for that until the server must have read some
of them. Any other end of the connection loses it.
"""

import asyncio
import socket
from typing import Final, Generic, TypeVar

from mta.ipc.client import (
    CONNECT_PAUSE,
    RequestLost,
    Unavailable,
    closed_unless_watched,
    connect,
)
from mta.ipc.connection import Connection, Descriptors, MessageTypes, close_all, encode
from mta.ipc.messages import Goodbye, Message, Refused
from mta.proto.status import MailError
from mta.util.log import Log

__all__ = ["Conversation", "ConversationPool"]

Reply = TypeVar("Reply", bound=Message)

IDLE_LIMIT: Final = 100  # idle connections kept: those of a shared commit are all free at once
IDLE_TIME: Final = 5.0  # seconds; a kept connection takes a client's place in its server
REPLAY_LIMIT: Final = 1 << 18  # octets; more than a socket holds (net.core.wmem_default)
MOVES_LIMIT: Final = 10  # servers that may say Goodbye to one conversation


class _Line(Generic[Reply]):
    """One connection of the pool and the conversation on it."""

    def __init__(self, pool: "ConversationPool[Reply]", peer: socket.socket) -> None:
        self.conversation: Conversation[Reply] | None = None
        self.left = False  # the server said Goodbye
        self.idle_since = 0.0
        self._pool = pool
        self.connection = Connection[Reply | Refused | Goodbye](
            peer,
            pool.loop,
            pool.reply_type,
            name=pool.path,
            log=pool.log,
            received=self._received,
            closed=self._closed,
        )
        self.connection.when_drained = self._drained

    @property
    def is_good(self) -> bool:
        """Whether the line may carry another conversation."""
        dead = self.connection.is_closed or self.connection.send_failed
        return not (dead or self.left or self.connection.congested)

    def _received(
        self, number: int, body: Reply | Refused | Goodbye, descriptors: Descriptors
    ) -> None:
        close_all(descriptors)
        conversation = self.conversation
        if isinstance(body, Goodbye):
            self.left = True
            if conversation is None:
                self.connection.close()
            elif body.last < conversation.number:
                conversation.move()
        elif conversation is None or number != conversation.number or conversation.is_over:
            self.connection.refuse(f"an answer to unknown number {number}")
        else:
            conversation.answered(body)

    def _closed(self, reason: str) -> None:
        self._pool.forget(self)
        if self.conversation is not None:
            self.conversation.line_lost(reason, self.connection.malformed)

    def _drained(self) -> None:
        if self.conversation is not None:
            self.conversation.wake()


class Conversation(Generic[Reply]):
    """One conversation: `send` its frames, then await its `reply`, or `drop` it.

    For one task at a time. `send` raises nothing: a failure makes `is_over` true, and is what
    `reply` raises.
    """

    def __init__(self, pool: "ConversationPool[Reply]") -> None:
        self.number = 0
        self.answer: Reply | Refused | None = None
        self._pool = pool
        self._line: _Line[Reply] | None = None
        self._error: Exception | None = None
        self._kept: list[tuple[bytes, Descriptors]] | None = []  # for a move; None: too much
        self._kept_size = 0
        self._moves = 0
        self._has_place = False  # within the pool's limit
        self._waiter: asyncio.Future[bool] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the answer, or a failure, is already here."""
        return self.answer is not None or self._error is not None

    @property
    def is_ready(self) -> bool:
        """Whether a frame can be sent without waiting."""
        line = self._line
        return line is not None and not line.connection.congested and not self.is_over

    async def send(self, body: Message, descriptors: Descriptors = ()) -> None:
        """Send one frame, as soon as the server has read those before.

        The descriptors must stay open until the conversation is over.
        """
        await self.ready()
        if not self.is_over:
            self.send_now(body, descriptors)

    async def ready(self) -> None:
        """Wait until a frame can be sent, or the conversation is over."""
        if not self._has_place and not self.is_over:
            await self._pool.places.acquire()
            self._has_place = True
        while not self.is_ready and not self.is_over:
            if self._line is None:
                await self._attach()
            elif not await self._news(self._pool.timeout):
                self._fail(Unavailable(f"{self._pool.path}: the service does not read"))

    def send_now(self, body: Message, descriptors: Descriptors = ()) -> None:
        """Send one frame of a conversation that is ready."""
        try:
            frame = encode(self.number, body)
        except (ValueError, TypeError):
            self.drop()
            raise
        self._keep(frame, descriptors)
        self._transmit(frame, descriptors)

    async def reply(self) -> Reply:
        """Await the answer; the conversation is then over, and its connection free for others.

        Raises `MailError` when the server refused, `Unavailable` when none could be reached, did
        not answer in time or broke the protocol, `RequestLost` when it died.
        """
        timeout = self._pool.timeout
        while not self.is_over:
            if self._line is None:
                await self._attach()
            elif not await self._news(timeout):
                self._fail(Unavailable(f"{self._pool.path}: no answer within {timeout:g} s"))
        self._release()
        if self._error is not None:
            raise self._error
        answer = self.answer
        if isinstance(answer, Refused):
            raise MailError(answer.status, answer.reason)
        assert answer is not None
        return answer

    def drop(self) -> None:
        """Abandon the conversation: the server sees the end of its connection."""
        self._fail(RequestLost("abandoned"))
        self._hang_up()
        self._release()

    # On the line

    async def _attach(self) -> None:
        """Get a connection and say again what was said on the one before."""
        pool = self._pool
        deadline = pool.loop.time() + pool.timeout
        while self._line is None and not self.is_over:
            try:
                line = pool.take(fresh=self._moves > 0)
            except Unavailable as error:
                self._fail(error)
                return
            if line is not None:
                self._begin(line)
            elif pool.loop.time() >= deadline:
                self._fail(Unavailable(f"{pool.path}: the backlog is full"))
            else:
                await self._news(CONNECT_PAUSE)

    def _begin(self, line: _Line[Reply]) -> None:
        self._line = line
        line.conversation = self
        if not self.number:
            self.number = self._pool.next_number()
        for frame, descriptors in self._kept or ():
            if self._line is line:
                self._transmit(frame, descriptors)

    def _keep(self, frame: bytes, descriptors: Descriptors) -> None:
        if self._kept is not None:
            self._kept.append((frame, descriptors))
            self._kept_size += len(frame)
            if self._kept_size > REPLAY_LIMIT:
                self._kept = None

    def _transmit(self, frame: bytes, descriptors: Descriptors) -> None:
        line = self._line
        assert line is not None
        line.connection.send_frame(frame, descriptors)
        if line.connection.send_failed and self._kept is not None and frame is self._kept[0][0]:
            self.move()  # not even the first frame arrived

    async def _news(self, seconds: float) -> bool:
        """Wait for an event of the line; whether there was one in time."""
        waiter: asyncio.Future[bool] = self._pool.loop.create_future()
        self._waiter = waiter
        timer = self._pool.loop.call_later(seconds, _resolve, waiter, False)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.drop()
            raise
        finally:
            timer.cancel()
            self._waiter = None

    # What befalls it

    def wake(self) -> None:
        """Something happened on the line."""
        if self._waiter is not None:
            _resolve(self._waiter, True)

    def answered(self, body: Reply | Refused) -> None:
        """The answer is here, awaited or early."""
        self.answer = body
        self.wake()

    def move(self) -> None:
        """The server has not looked at this conversation: go on elsewhere."""
        self._moves += 1
        if self._kept is None:
            self._fail(RequestLost(f"{self._pool.path}: Goodbye in the middle"))
        elif self._moves > MOVES_LIMIT:
            self._fail(Unavailable(f"{self._pool.path}: one Goodbye after another"))
        self._hang_up()
        self.wake()

    def line_lost(self, reason: str, malformed: bool) -> None:
        """The connection ended."""
        self._line = None
        text = f"{self._pool.path}: the connection was lost: {reason or 'closed'}"
        self._fail(Unavailable(text) if malformed else RequestLost(text))

    def _fail(self, error: Exception) -> None:
        if not self.is_over:
            self._error = error
            self.wake()

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.conversation = None
            line.connection.close()

    def _release(self) -> None:
        self._kept = None
        line = self._line
        if line is not None and self._error is None and line.is_good:
            self._line = line.conversation = None
            self._pool.put(line)
        self._hang_up()
        if self._has_place:
            self._has_place = False
            self._pool.places.release()


def _resolve(waiter: asyncio.Future[bool], result: bool) -> None:
    if not waiter.done():
        waiter.set_result(result)


class ConversationPool(Generic[Reply]):
    """Connections to one service, `limit` at most in use; `timeout` is seconds for each wait."""

    def __init__(
        self,
        path: str,
        reply_type: MessageTypes,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        log: Log,
        *,
        limit: int,
    ) -> None:
        self.path = path
        self.reply_type = reply_type
        self.loop = loop
        self.timeout = timeout
        self.log = log
        self.places = asyncio.Semaphore(limit)
        self._idle: list[_Line[Reply]] = []
        self._number = 0
        self._sweeper: asyncio.TimerHandle | None = None

    def conversation(self) -> Conversation[Reply]:
        """Begin a conversation; it takes a connection with its first frame."""
        return Conversation(self)

    def close(self) -> None:
        """Close the idle connections."""
        for line in self._idle[:]:
            line.connection.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    # For conversations

    def next_number(self) -> int:
        """A number above all that were used on any connection of the pool."""
        self._number += 1
        return self._number

    def take(self, *, fresh: bool) -> _Line[Reply] | None:
        """A connection, kept or fresh; None while the backlog is full; or `Unavailable`."""
        if self._idle and not fresh:
            return self._idle.pop()  # if it has just died, the conversation moves
        peer = connect(self.path)
        if peer is None:
            return None
        with closed_unless_watched(peer, self.path):
            return _Line(self, peer)

    def put(self, line: _Line[Reply]) -> None:
        """Keep a connection for the next conversation."""
        line.idle_since = self.loop.time()
        self._idle.append(line)
        if len(self._idle) > IDLE_LIMIT:
            self._idle[0].connection.close()
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(IDLE_TIME, self._sweep)

    def forget(self, line: _Line[Reply]) -> None:
        """A connection has ended."""
        if line in self._idle:
            self._idle.remove(line)

    def _sweep(self) -> None:
        self._sweeper = None
        oldest = self.loop.time() - IDLE_TIME
        for line in [line for line in self._idle if line.idle_since <= oldest]:
            line.connection.close()
        if self._idle:
            self._sweeper = self.loop.call_later(IDLE_TIME, self._sweep)
