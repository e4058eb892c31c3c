"""One client of public/pickup: messages as cleanup takes them, one after the other; or news.

    Begin ... More ... (last)   ->  Committed, or Refused as soon as it is known
    Dropped                         no answer: the maildrop is looked at

The kernel says who it is. While a frame's recipients are completed, and while cleanup does not keep
up, nothing more is read: what the client has sent waits in the socket. A client that goes away
before the last frame takes its message with it.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from mta.daemons.pickup.passage import Passage, Services
from mta.ipc.messages import Begin, Committed, Dropped, More, PickupRequest
from mta.ipc.server import ServerConnection, refused
from mta.proto.status import INTERNAL_ERROR, MailError

__all__ = ["Conversation"]

_SILENCE: Final = 300.0  # seconds in which a client must say something (RFC 5321, 4.5.3.2)


class Conversation(ServerConnection[PickupRequest]):
    """The messages of one connection, one at a time."""

    def __init__(
        self,
        client: socket.socket,
        uid: int,
        services: Services,
        look: Callable[[], None],
        *,
        used: Callable[[], None],
        finished: Callable[[], None],
    ) -> None:
        """`look` has the maildrop looked at."""
        self._uid = uid
        self._services = services
        self._look = look
        self._passage: Passage | None = None
        self._complete = False  # the last frame is here
        self._working: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._watch = self._loop.call_later(_SILENCE, self._check_silence)
        super().__init__(client, PickupRequest, log=services.log, used=used, finished=finished)

    def begun(self, number: int, request: PickupRequest, descriptors: tuple[int, ...]) -> None:
        """Take a message's first frame, or news."""
        self._heard = self._loop.time()
        if isinstance(request, Dropped):
            self.finish(number)
            self._look()
        elif isinstance(request, Begin):
            self._passage = Passage(self._services, self._uid, request.sender, request.body_8bit)
            self._work(number, self._passage, request)
        else:
            self.malformed("a message without a beginning")
            self.finish(number)

    def continued(self, number: int, request: PickupRequest, descriptors: tuple[int, ...]) -> None:
        """Take a further frame of the message."""
        self._heard = self._loop.time()
        if self._passage is None or not isinstance(request, More):
            self.malformed("a frame out of order")
        else:
            self._work(number, self._passage, request)

    def ended(self) -> None:
        """Forget what is not complete; what is goes on without its client."""
        self._watch.cancel()
        if self._passage is not None and not self._complete:
            if self._working is not None:
                self._working.cancel()
            self._passage.abort()
            self._passage = None
            for number in tuple(self.open_numbers):
                self.finish(number)

    def _may_read(self) -> bool:
        return self._working is None and super()._may_read()

    def _work(self, number: int, passage: Passage, request: Begin | More) -> None:
        self._complete = request.last
        self._working = self._loop.create_task(self._take(number, passage, request))
        self._adjust_reading()

    async def _take(self, number: int, passage: Passage, request: Begin | More) -> None:
        try:
            await passage.recipients(recipient.address for recipient in request.recipients)
            await passage.content(request.content)
            if request.last or passage.failed:
                queue_id = await passage.commit()
                self._passage = None
                self._submitted(queue_id, passage)
                self.reply(number, Committed(queue_id))
        except MailError as error:
            self._refuse(number, passage, error)
        except Exception as error:  # noqa: BLE001 - one message must not end the daemon
            self._services.log.failure("internal_error", error)
            self._refuse(number, passage, MailError(INTERNAL_ERROR, repr(error)))
        finally:
            self._working = None
            self._adjust_reading()

    def _submitted(self, queue_id: str, passage: Passage) -> None:
        self._services.log.info(
            "submitted",
            queue_id=queue_id,
            uid=self._uid,
            sender=passage.sender,
            recipients=passage.count,
            size=passage.size,
        )

    def _refuse(self, number: int, passage: Passage, error: MailError) -> None:
        passage.abort()
        self._passage = None
        self._services.log.warning(
            "refused",
            uid=self._uid,
            sender=passage.sender,
            status=str(error.status),
            reason=error.reason,
        )
        self.reply(number, refused(error))

    def _check_silence(self) -> None:
        now = self._loop.time()
        if self._working is not None:
            self._heard = now  # it waits for us
        wait = self._heard + _SILENCE - now
        if wait <= 0:
            self._services.log.warning("caller_silent", uid=self._uid)
            self.abort()
        else:
            self._watch = self._loop.call_later(wait, self._check_silence)
