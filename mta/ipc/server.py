"""The answering side: one object a connection, which the daemon skeleton treats as its session.

A request bears a number that grows on its connection; it is in hand from its first frame until its
reply, which bears the same number. A retiring server says `Goodbye` with the last number that it
took in hand, answers those, and closes; what comes above that number is not looked at, so that a
client may send it elsewhere. A client that goes away cancels nothing: a delivery that has begun is
finished, for it cannot be taken back.

`ServerConnection` is the base; `RequestServer` serves daemons that answer each request by itself.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from mta.ipc.connection import Connection, Descriptors, MessageTypes, close_all
from mta.ipc.messages import Goodbye, Message, Refused
from mta.proto.status import INTERNAL_ERROR, MailError
from mta.util.log import Log

__all__ = ["RequestServer", "ServerConnection", "refused"]

Request = TypeVar("Request", bound=Message)
Answer = Callable[[Request, Descriptors], Message | Awaitable[Message | None] | None]

_REASON_LIMIT: Final = 1024  # characters of Refused.reason


def refused(error: MailError) -> Refused:
    """The reply that a failure means, its reason cut to what a frame may hold."""
    return Refused(error.status, error.reason[:_REASON_LIMIT])


class ServerConnection(Generic[Request]):
    """One client; override `begun`, `continued` and `ended`, and answer with `reply`.

    The three are called from the event loop and must not block. An exception that escapes from
    one is logged, and closes the connection. At most `concurrency` numbers may be in hand at once.
    """

    def __init__(
        self,
        client: socket.socket,
        request_type: MessageTypes,
        *,
        log: Log,
        used: Callable[[], None],
        finished: Callable[[], None],
        concurrency: int = 1,
    ) -> None:
        self.open_numbers: set[int] = set()  # begun and not yet answered
        self._log = log
        self._used = used
        self._finished = finished
        self._concurrency = concurrency
        self._last = 0
        self._retiring = False
        self._over = False
        self._connection = Connection[Request](
            client,
            asyncio.get_running_loop(),
            request_type,
            name="server",
            log=log,
            received=self._received,
            closed=self._closed,
        )
        self._connection.when_drained = self._adjust_reading

    # For subclasses to override

    def begun(self, number: int, request: Request, descriptors: Descriptors) -> None:
        """Take the first frame under a new number; the descriptors are now the callee's."""
        raise NotImplementedError

    def continued(self, number: int, request: Request, descriptors: Descriptors) -> None:
        """Take a further frame under a number that is in hand."""
        close_all(descriptors)
        self.malformed("a second frame under one number")

    def ended(self) -> None:
        """The client is gone; each number in hand must still get its `finish` or `reply`."""

    # For subclasses to call

    def reply(self, number: int, body: Message) -> None:
        """Answer a number, once; where the client is gone, the answer goes nowhere."""
        self._connection.send(number, body)
        self.finish(number)

    def finish(self, number: int) -> None:
        """End a number without an answer."""
        self.open_numbers.discard(number)
        self._adjust_reading()
        self._settle()

    def malformed(self, reason: str) -> None:
        """Close, and say in the log that the client broke the protocol."""
        self._connection.refuse(reason)

    # The session, as the skeleton sees it

    @property
    def idle(self) -> bool:
        """Whether nothing is in hand."""
        return not self.open_numbers and not self._connection.congested

    def retire(self) -> None:
        """Say Goodbye at once, answer what is in hand, close."""
        if not self._retiring:
            self._retiring = True
            self._connection.send(0, Goodbye(self._last))
            self._settle()

    def expire(self) -> None:
        """The same as `retire`: there is nothing between transactions but idleness."""
        self.retire()

    def abort(self) -> None:
        """Close now; clients retry what they may retry."""
        self._connection.close()

    # Events

    def _received(self, number: int, request: Request, descriptors: Descriptors) -> None:
        try:
            if number in self.open_numbers:
                self.continued(number, request, descriptors)
            elif number > self._last and not self._retiring:
                self._begin(number, request, descriptors)
            elif number:
                # Above the Goodbye: the client sends it elsewhere. Below: the tail of a request
                # that was refused before its end.
                close_all(descriptors)
            else:
                close_all(descriptors)
                self.malformed("a request with number 0")
        except Exception as error:  # noqa: BLE001 - one request must not end the daemon
            self._log.failure("internal_error", error)
            self.open_numbers.discard(number)
            self._connection.close()

    def _begin(self, number: int, request: Request, descriptors: Descriptors) -> None:
        if len(self.open_numbers) >= self._concurrency:
            close_all(descriptors)
            self.malformed(f"more than {self._concurrency} requests at once")
            return
        self._last = number
        self.open_numbers.add(number)
        self._used()
        self.begun(number, request, descriptors)
        if number in self.open_numbers:  # else its end has seen to that
            self._adjust_reading()

    def _may_read(self) -> bool:
        # A client that does not read its replies is not read from: our queue stays short.
        return not self._connection.congested

    def _adjust_reading(self) -> None:
        if self._may_read():
            self._connection.resume()
        else:
            self._connection.pause()

    def _closed(self, reason: str) -> None:
        if reason and not self._connection.malformed:
            self._log.warning("ipc_lost", reason=reason)
        try:
            self.ended()
        except Exception as error:  # noqa: BLE001 - the session must finish all the same
            self._log.failure("internal_error", error)
        self._settle()

    def _settle(self) -> None:
        if self.open_numbers or self._over:
            return
        if self._connection.is_closed:
            self._over = True
            self._finished()
        elif self._retiring:
            self._connection.finish()


class _RequestConnection(ServerConnection[Request]):
    """One client of a `RequestServer`."""

    def __init__(
        self,
        client: socket.socket,
        request_type: MessageTypes,
        answer: Answer[Request],
        *,
        log: Log,
        used: Callable[[], None],
        finished: Callable[[], None],
        concurrency: int,
    ) -> None:
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[int, asyncio.Task[None]] = {}  # of the numbers in hand
        super().__init__(
            client,
            request_type,
            log=log,
            used=used,
            finished=finished,
            concurrency=concurrency,
        )

    def begun(self, number: int, request: Request, descriptors: Descriptors) -> None:
        try:
            reply = self._answer(request, descriptors)
        except Exception as error:  # noqa: BLE001 - answered and logged by _refusal
            reply = self._refusal(error)
        if reply is None or isinstance(reply, Message):
            self._conclude(number, request, reply, descriptors)
        else:
            waiting = self._wait(number, request, reply, descriptors)
            self._tasks[number] = self._loop.create_task(waiting)

    def abort(self) -> None:
        super().abort()
        for task in self._tasks.values():
            task.cancel()

    def _may_read(self) -> bool:
        return len(self.open_numbers) < self._concurrency and super()._may_read()

    async def _wait(
        self,
        number: int,
        request: Request,
        answer: Awaitable[Message | None],
        descriptors: Descriptors,
    ) -> None:
        reply: Message | None = None
        try:
            reply = await answer
        except Exception as error:  # noqa: BLE001 - answered and logged by _refusal
            reply = self._refusal(error)
        except asyncio.CancelledError:
            close_all(descriptors)
            self.finish(number)
            raise
        finally:
            del self._tasks[number]
        self._conclude(number, request, reply, descriptors)

    def _conclude(
        self, number: int, request: Request, reply: Message | None, descriptors: Descriptors
    ) -> None:
        try:
            if not request.answered:
                self.finish(number)
            elif reply is None:
                self.reply(number, self._refusal(TypeError(f"no answer to {request!r}")))
            else:
                self.reply(number, reply)
        except Exception as error:  # noqa: BLE001 - a reply that cannot be encoded
            self._log.failure("internal_error", error)
            self.open_numbers.discard(number)
            self._connection.close()
        finally:
            # After the reply: a lock on the descriptor says that the work is not yet reported.
            close_all(descriptors)

    def _refusal(self, error: Exception) -> Refused:
        if isinstance(error, MailError):
            return refused(error)
        self._log.failure("internal_error", error)
        return refused(MailError(INTERNAL_ERROR, repr(error)))


class RequestServer(Generic[Request]):
    """The handler of a daemon that answers each request by itself.

    `answer(request, descriptors)` is a plain function for what is computed at once, or a coroutine
    function, run as a task for each request. It returns the reply; None where the message has none.
    `MailError` becomes `Refused`; any other exception is logged and is a temporary refusal. The
    descriptors are closed here once the reply has been sent. At most `concurrency` requests of one
    connection are in hand; no more is read until one is answered.
    """

    def __init__(
        self,
        request_type: MessageTypes,
        log: Log,
        used: Callable[[], None],
        answer: Answer[Request],
        *,
        concurrency: int = 64,
    ) -> None:
        self._request_type = request_type
        self._log = log
        self._used = used
        self._answer = answer
        self._concurrency = concurrency

    async def start(self) -> None:
        """Nothing to prepare."""

    def connect(
        self,
        client: socket.socket,
        listener: str,
        finished: Callable[[], None],
    ) -> ServerConnection[Request]:
        """Serve one client."""
        return _RequestConnection(
            client,
            self._request_type,
            self._answer,
            log=self._log,
            used=self._used,
            finished=finished,
            concurrency=self._concurrency,
        )

    def wake(self) -> None:
        """Nothing to look for."""

    async def stop(self) -> None:
        """Nothing to put away."""
