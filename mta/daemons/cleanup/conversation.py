"""One client of cleanup: one message after the other, each under its number.

    Begin ... More ... (last)   ->  Committed, or Refused as soon as it is known

The base class drops what a client sends of a message that has been refused already. A client that
goes away before `last` takes its message with it; after that the message is in the queue, whether
or not anybody hears the answer.
"""

import socket
from collections.abc import Callable

from mta.daemons.cleanup.commit import CommitStage
from mta.daemons.cleanup.message import Admission, IncomingMessage
from mta.ipc.messages import Begin, CleanupRequest, Committed, More
from mta.ipc.server import ServerConnection, refused
from mta.proto.status import MailError
from mta.util.log import Log

__all__ = ["Conversation"]


class Conversation(ServerConnection[CleanupRequest]):
    """The transactions of one connection, one at a time."""

    def __init__(
        self,
        client: socket.socket,
        admission: Admission,
        commit: CommitStage,
        *,
        log: Log,
        used: Callable[[], None],
        finished: Callable[[], None],
    ) -> None:
        self._admission = admission
        self._commit = commit
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
            self._drop_message()
            for number in tuple(self.open_numbers):
                self.finish(number)

    def _take(self, number: int, request: CleanupRequest) -> None:
        message = self._message
        assert message is not None
        try:
            message.add(request.recipients, request.content)
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
        if message is None:
            return
        try:
            message.discard()
        except OSError as error:
            # It stays incomplete: no scan takes it for a message, and one will remove it.
            self._log.error("discard_failed", queue_id=message.queue_id, reason=str(error))
