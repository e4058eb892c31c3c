"""One client of cleanup: one message after the other, each under its number.

    Begin ... More ... (last)   ->  Committed, or Refused as soon as it is known

The base class drops what a client sends of a message that has been refused already. A client that
goes away before `last` takes its message with it; after that the message is in the queue, whether
or not anybody hears the answer.

While rewrite is asked about a message's addresses nothing more of it is read: the client waits, and
what it has sent waits in the socket.
"""

import asyncio
import socket
from collections.abc import Callable

from mta.daemons.cleanup.commit import CommitStage
from mta.daemons.cleanup.message import Admission, IncomingMessage
from mta.ipc.messages import Begin, CleanupRequest, Committed, More
from mta.ipc.rewrite import RewriteClient
from mta.ipc.server import ServerConnection, refused
from mta.proto.status import INTERNAL_ERROR, MailError
from mta.util.log import Log

__all__ = ["Conversation"]


class Conversation(ServerConnection[CleanupRequest]):
    """The transactions of one connection, one at a time."""

    def __init__(
        self,
        client: socket.socket,
        admission: Admission,
        rewrite: RewriteClient,
        commit: CommitStage,
        *,
        log: Log,
        used: Callable[[], None],
        finished: Callable[[], None],
    ) -> None:
        self._admission = admission
        self._rewrite = rewrite
        self._commit = commit
        self._asking: asyncio.Task[None] | None = None
        self._message: IncomingMessage | None = None  # not yet complete
        super().__init__(client, CleanupRequest, log=log, used=used, finished=finished)

    def begun(
        self,
        number: int,
        request: CleanupRequest,
        descriptors: tuple[int, ...],
    ) -> None:
        """Open a transaction."""
        if not isinstance(request, Begin):
            self.malformed("a transaction without a beginning")
            self.finish(number)
            return
        try:
            self._message = self._admission.admit(request)
        except MailError as error:
            self._refuse(number, error)
        else:
            self._take(number, request)

    def continued(
        self,
        number: int,
        request: CleanupRequest,
        descriptors: tuple[int, ...],
    ) -> None:
        """Go on with the open transaction."""
        if self._message is None or not isinstance(request, More):
            self.malformed("a frame out of order")
        else:
            self._take(number, request)

    def ended(self) -> None:
        """Discard what is not complete; what is complete goes on without its client."""
        if self._message is not None:
            if self._asking is not None:
                self._asking.cancel()
            self._drop_message()
            for number in tuple(self.open_numbers):
                self.finish(number)

    def _may_read(self) -> bool:
        return self._asking is None and super()._may_read()

    def _take(self, number: int, request: CleanupRequest) -> None:
        message = self._message
        assert message is not None
        try:
            message.add(request.recipients, request.content)
            if request.last:
                message.end()
            if message.must_ask:
                self._ask(number, message, last=request.last)
                return
            if request.last:
                message.seal()
        except MailError as error:
            self._drop_message()
            self._refuse(number, error, message.queue_id)
            return
        except BaseException:
            self._drop_message()
            raise
        if request.last:
            self._message = None
            self._finish(number, message)

    def _ask(self, number: int, message: IncomingMessage, *, last: bool) -> None:
        """Have the message's addresses rewritten; what follows comes when that is done."""
        if last:
            self._message = None  # it no longer needs its client
        asking = self._wait_for_answers(number, message, last=last)
        self._asking = asyncio.get_running_loop().create_task(asking)
        self._adjust_reading()

    async def _wait_for_answers(self, number: int, message: IncomingMessage, *, last: bool) -> None:
        failure: MailError | None = None
        try:
            await message.ask(self._rewrite)
            if last:
                message.seal()
        except MailError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - one message must not end the daemon
            self._log.failure("internal_error", error, queue_id=message.queue_id)
            failure = MailError(INTERNAL_ERROR, repr(error))
        self._asking = None
        if failure is not None:
            self._message = None
            self._discard(message)
            self._refuse(number, failure, message.queue_id)
        elif last:
            self._finish(number, message)
        self._adjust_reading()

    def _finish(self, number: int, message: IncomingMessage) -> None:
        """Commit a sealed message, and answer."""
        self._commit.commit(message, lambda reply: self._answer(number, message, reply))

    def _answer(self, number: int, message: IncomingMessage, outcome: MailError | None) -> None:
        if outcome is None:
            self.reply(number, Committed(message.queue_id))
        else:
            self._refuse(number, outcome, message.queue_id)

    def _refuse(self, number: int, error: MailError, queue_id: str = "") -> None:
        self._log.warning(
            "refused", queue_id=queue_id, status=str(error.status), reason=error.reason
        )
        self.reply(number, refused(error))

    def _drop_message(self) -> None:
        message, self._message = self._message, None
        if message is not None:
            self._discard(message)

    def _discard(self, message: IncomingMessage) -> None:
        try:
            message.discard()
        except OSError as error:
            # It stays incomplete: no scan takes it for a message, and one will remove it.
            self._log.error("discard_failed", queue_id=message.queue_id, reason=str(error))
