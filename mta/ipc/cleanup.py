"""Client of the cleanup service: one message a transaction, committed to stable storage.

A transaction is one conversation: `Begin`, then `More` as often as it takes, and one answer. It
gathers what it is given, so that a small message is a single frame.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from mta.ipc.client import RequestLost, Unavailable
from mta.ipc.messages import (
    CONTENT_BESIDE_RECIPIENTS,
    CONTENT_LIMIT,
    RECIPIENTS_LIMIT,
    Begin,
    CleanupReply,
    Committed,
    More,
)
from mta.ipc.pool import Conversation, ConversationPool
from mta.proto.envelope import Origin, Recipient
from mta.util.log import Log

__all__ = ["CleanupClient", "Transaction"]

CONNECTION_LIMIT: Final = 1000  # transactions of one process at a time


class Transaction:
    """One message on its way into the queue: recipients, content, then `commit` or `abort`.

    Only `commit` raises: an earlier failure is kept for it, and `failed` tells that there is no
    point in going on.
    """

    def __init__(
        self, conversation: Conversation[Committed], sender: str, origin: Origin, body_8bit: bool
    ) -> None:
        self._conversation = conversation
        self._sender = sender
        self._origin = origin
        self._body_8bit = body_8bit
        self._begun = False
        self._recipients: list[Recipient] = []
        self._content = bytearray()
        self._offset = 0  # octets of it that were sent

    @property
    def failed(self) -> bool:
        """Whether cleanup has already refused the message or gone away."""
        return self._conversation.is_over

    def recipients(self, recipients: Sequence[Recipient]) -> None:
        """Add recipients; they are sent with the content."""
        self._recipients += recipients

    def gather(self, data: bytes | bytearray | memoryview) -> bool:
        """Add content, as it is to be stored; False: `flush` before there is more.

        Sends what fills frames, as long as that needs no waiting.
        """
        self._content += data
        conversation = self._conversation
        while self._left_over and conversation.is_ready:
            conversation.send_now(self._next_frame(last=False))
        self._forget_sent()
        return not self._left_over or self.failed

    async def flush(self) -> None:
        """Send what fills frames; waits while cleanup does not keep up."""
        while self._left_over and not self.failed:
            await self._conversation.send(self._next_frame(last=False))
        self._forget_sent()

    async def content(self, data: bytes | bytearray | memoryview) -> None:
        """Add content, as it is to be stored; waits while cleanup does not keep up."""
        if not self.gather(data):
            await self.flush()

    async def commit(self) -> str:
        """End the message; the queue id under which it is on stable storage.

        Raises `MailError`: what cleanup refused it with, or 451 when its answer did not come. The
        message may then be in the queue all the same: a client that tries again makes a duplicate.
        """
        conversation = self._conversation
        await self.flush()
        await conversation.ready()
        if isinstance(conversation.answer, Committed):
            conversation.drop()
            raise Unavailable("cleanup: committed before the end of the message")
        if not conversation.is_over:
            conversation.send_now(self._next_frame(last=True))
        try:
            return (await conversation.reply()).queue_id
        except RequestLost as error:
            raise Unavailable(f"cleanup: {error}") from error

    def abort(self) -> None:
        """Give the message up: cleanup discards what it has."""
        self._conversation.drop()

    @property
    def _left_over(self) -> bool:
        """Whether there is more than one frame can hold."""
        unsent = len(self._content) - self._offset
        return len(self._recipients) > RECIPIENTS_LIMIT or unsent > self._room

    @property
    def _room(self) -> int:
        """Octets of content that the next frame can hold: none before the last recipients."""
        if len(self._recipients) > RECIPIENTS_LIMIT:
            return 0
        return CONTENT_BESIDE_RECIPIENTS if self._recipients else CONTENT_LIMIT

    def _next_frame(self, *, last: bool) -> Begin | More:
        recipients = tuple(self._recipients[:RECIPIENTS_LIMIT])
        with memoryview(self._content) as view:
            content = bytes(view[self._offset : self._offset + self._room])
        del self._recipients[:RECIPIENTS_LIMIT]
        self._offset += len(content)
        if self._begun:
            return More(recipients, content, last)
        self._begun = True
        return Begin(self._sender, self._origin, self._body_8bit, recipients, content, last)

    def _forget_sent(self) -> None:
        # Once for all frames: to move the rest up behind each would be most of the work.
        del self._content[: self._offset]
        self._offset = 0


class CleanupClient:
    """Opens transactions; each has a connection of its own from its first frame to its end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        log: Log,
        path: str = "private/cleanup",
    ) -> None:
        self._pool = ConversationPool[Committed](
            path, CleanupReply, loop, timeout, log, limit=CONNECTION_LIMIT
        )

    def begin(self, sender: str, origin: Origin, body_8bit: bool) -> Transaction:
        """Begin a message; nothing is sent before there is a frame's worth of it."""
        return Transaction(self._pool.conversation(), sender, origin, body_8bit)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()
