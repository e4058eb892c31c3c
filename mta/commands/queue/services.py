"""The daemons that the queue's commands talk to, asked one thing at a time.

Requests go through the sockets of the running system, whose paths are relative to the queue
directory: the process goes there.
"""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, Final, Self, TypeVar

from mta.commands.queue.verb import Unanswered
from mta.ipc.cleanup import CleanupClient
from mta.ipc.client import Unavailable
from mta.ipc.qmgr import QmgrClient
from mta.ipc.rewrite import RewriteClient
from mta.proto.envelope import Recipient
from mta.proto.status import MailError, temporary
from mta.queue.reader import StoredMessage
from mta.util.log import Log

__all__ = ["Services"]

Answer = TypeVar("Answer")

_STDERR: Final = 2
_TIMEOUT: Final = 30.0  # seconds for one answer


class Services:
    """Clients of the running system, on a loop of their own; use it as a context manager."""

    def __init__(self, queue_directory: str) -> None:
        self._directory = queue_directory
        self._runner = asyncio.Runner()
        self._listening = True  # the queue manager

    def __enter__(self) -> Self:
        os.chdir(self._directory)  # the path of a socket has a short limit
        log = Log(_STDERR, "mta", "queue", 0)
        loop = self._runner.get_loop()
        self.qmgr = QmgrClient(loop, _TIMEOUT, log)
        self.rewrite = RewriteClient(loop, _TIMEOUT, log)
        self.cleanup = CleanupClient(loop, _TIMEOUT, log)
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._close())
        self._runner.close()

    def run(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for it; Unanswered if there is no answer, MailError if it was refused."""
        try:
            return self._runner.run(coroutine)
        except Unavailable as error:
            raise Unanswered(f"the running system does not answer: {error.reason}") from error

    async def submit(self, message: StoredMessage, originals: list[str]) -> str:
        """Hand a stored message in again for recipients as the sender gave them; its queue id.

        MailError when an address or the message is refused; nothing was queued then, unless
        cleanup died over its answer.
        """
        recipients = [await self._resolved(original) for original in originals]
        envelope = message.envelope
        transaction = self.cleanup.begin(envelope.sender, envelope.origin, envelope.body_8bit)
        try:
            transaction.recipients(recipients)
            for piece in message.content():
                await transaction.content(piece)
            return await transaction.commit()
        except BaseException:
            transaction.abort()
            raise

    async def _resolved(self, original: str) -> Recipient:
        try:
            found = await self.rewrite.resolve(original)
        except Unavailable:
            raise
        except MailError as error:
            raise MailError(error.status, f"<{original}>") from error
        if not found.transport:
            temporary("4.3.5", "this host carries no mail for the address", f"<{original}>")
        return Recipient(found.address, original)

    def tell_moved(self, queue_id: str) -> None:
        """Have the queue manager look for a message where it no longer is, and so forget it."""
        self._tell(self.qmgr.flush(queue_id))

    def tell_arrived(self, queue_id: str) -> None:
        """Have the queue manager take up a message that lies in incoming/."""
        self._tell(self._arrived(queue_id))

    async def _arrived(self, queue_id: str) -> int:
        self.qmgr.notify_arrived(queue_id)
        # The news may be lost, or mean nothing to one who remembers the message elsewhere.
        return await self.qmgr.flush(queue_id)

    def _tell(self, news: Coroutine[Any, Any, int]) -> None:
        if not self._listening:
            news.close()
            return
        try:
            self._runner.run(news)
        except MailError:  # it does not run, or is stuck: its next scan sees what lies where
            self._listening = False

    async def _close(self) -> None:
        for client in (self.qmgr, self.rewrite, self.cleanup):
            client.close()
