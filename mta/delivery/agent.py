"""What every delivery agent shares: a request and an open queue file in, an outcome each out.

The law: each recipient of a request gets exactly one outcome, and the log a record of it; whatever
goes wrong in an unforeseen way is a deferral, for a bounce cannot be taken back. The descriptor of
the queue file, and with it the lock that tells others of our work, is open until the reply is sent.
"""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import Final

from msgspec import Struct

from mta.delivery.content import ContentReader
from mta.delivery.report import log_outcome
from mta.ipc.messages import Deliver, DeliverRecipient, DeliveryRequest, Outcome, Outcomes
from mta.ipc.server import RequestServer
from mta.proto.status import Disposition, MailError, Status
from mta.util.log import Log
from mta.util.threads import WorkerPool

__all__ = ["BlockingDelivery", "DeliveryAgent", "DeliveryThreads", "Result", "result_of"]

_TEXT_LIMIT: Final = 512  # characters of Status.text
_RELAY_LIMIT: Final = 320  # characters of Outcome.relay
_UNEXPECTED: Final = Status(451, "4.3.0", "mail system error")


class Result(Struct, frozen=True):
    """What an agent says of one recipient; the class of `status` is the outcome."""

    index: int
    status: Status
    relay: str
    reason: str = ""  # for the log alone
    unreachable: bool = False  # no host began a session: see `Outcomes`


Deliverer = Callable[[Deliver, ContentReader], Awaitable[Iterable[Result]]]
BlockingDeliverer = Callable[[Deliver, DeliverRecipient, ContentReader], Status]
Work = Callable[[ContentReader], list[Result]]


class DeliveryAgent(RequestServer[DeliveryRequest]):
    """The handler of a delivery agent's daemon; the agent itself is `deliver`.

    `deliver` gets a request and its content and returns a result for each recipient. Those it
    leaves out are deferred, as are all of them when it raises.
    """

    def __init__(self, name: str, log: Log, used: Callable[[], None], deliver: Deliverer) -> None:
        """`name` is the relay of outcomes for which `deliver` names none."""
        super().__init__(DeliveryRequest, log, used, self._answer)
        self._name = name
        self._deliver = deliver

    async def _answer(self, request: Deliver, descriptors: tuple[int, ...]) -> Outcomes:
        content = ContentReader(descriptors[0], request.content_offset, request.content_length)
        status, reason = _UNEXPECTED, "the agent gave no result"
        results: dict[int, Result] = {}
        try:
            results = {result.index: result for result in await self._deliver(request, content)}
        except MailError as error:
            status, reason = error.status, error.reason
        except Exception:  # noqa: BLE001 - a defect of an agent costs a retry, never a message
            reason = traceback.format_exc()
        age = time.time() - request.arrived
        outcomes = []
        for recipient in request.recipients:
            index = recipient.index
            result = results.get(index) or Result(index, status, self._name, reason)
            outcome = _outcome(result)
            log_outcome(self._log, request.queue_id, recipient, outcome, age, result.reason)
            outcomes.append(outcome)
        unreachable = bool(results) and all(it.unreachable for it in results.values())
        return Outcomes(tuple(outcomes), unreachable)


class DeliveryThreads:
    """Threads for deliveries that block; at most `threads` requests run at once."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = WorkerPool(threads, name)

    async def run(self, content: ContentReader, work: Work) -> list[Result]:
        """Have the work done with the content; RuntimeError if there is no thread for it."""
        # A thread outlives its cancelled task: with a descriptor of its own it cannot come to
        # read another file that got the same number.
        own = content.duplicate()

        def begin() -> list[Result]:
            with closing(own):
                return work(own)

        try:
            working = asyncio.get_running_loop().run_in_executor(self._pool, begin)
        except RuntimeError:
            own.close()
            raise
        return await working

    def close(self) -> None:
        """Begin nothing more; what is under way goes on."""
        self._pool.shutdown(wait=False)


class BlockingDelivery:
    """A deliverer made of a function that blocks and serves one recipient at a time."""

    def __init__(self, name: str, deliver: BlockingDeliverer, threads: int) -> None:
        """`name` is the relay that results name; at most `threads` requests run at once."""
        self._name = name
        self._deliver = deliver
        self._threads = DeliveryThreads(name, threads)

    async def __call__(self, request: Deliver, content: ContentReader) -> list[Result]:
        """Deliver to one recipient after the other; an error of one is no matter of the rest."""

        def work(own: ContentReader) -> list[Result]:
            return [
                result_of(self._name, (each,), partial(self._deliver, request, each, own))[0]
                for each in request.recipients
            ]

        return await self._threads.run(content, work)

    def close(self) -> None:
        """Begin nothing more; what is under way goes on."""
        self._threads.close()


def result_of(
    relay: str, recipients: Sequence[DeliverRecipient], deliver: Callable[[], Status]
) -> list[Result]:
    """What a delivery to some recipients comes to, whatever it raises: the same for each."""
    try:
        status, reason = deliver(), ""
    except MailError as error:
        status, reason = error.status, error.reason
    except Exception:  # noqa: BLE001 - as above, and other recipients go on
        status, reason = _UNEXPECTED, traceback.format_exc()
    return [Result(recipient.index, status, relay, reason) for recipient in recipients]


def _outcome(result: Result) -> Outcome:
    """The outcome that a result means, within the bounds of the protocol."""
    status = result.status
    if status.is_permanent:
        disposition = Disposition.BOUNCED
    elif status.is_temporary:
        disposition = Disposition.DEFERRED
    else:
        disposition = Disposition.DELIVERED
    text, relay = _ascii(status.text, _TEXT_LIMIT), _ascii(result.relay, _RELAY_LIMIT)
    if text is not status.text:
        status = Status(status.code, status.enhanced, text)
    return Outcome(result.index, disposition, status, relay)


def _ascii(text: str, limit: int) -> str:
    """ASCII, as a reply's text must be; so the outcomes of one request fit a frame, too."""
    if text.isascii() and len(text) <= limit:
        return text
    return text.encode("ascii", "backslashreplace").decode()[:limit]
