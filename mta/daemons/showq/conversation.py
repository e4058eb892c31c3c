"""One client of public/showq: a list, as fast as it is read; or messages that are to be tried.

    ListQueue            ->  Listed ... Listed (the last)
    Flush, FlushDomain   ->  Accepted
    either               ->  Refused, for a list also in place of its further parts

A thread makes one frame of a list at a time, and the next one when the client has read that: who
does not read costs a place and the ids that are listed next. One who does not for an hour, or says
nothing as long, is let go.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from mta.daemons.showq.flushing import Flushing
from mta.daemons.showq.portions import portions
from mta.ipc.messages import Accepted, Flush, FlushDomain, Listed, ListQueue, ShowqRequest
from mta.ipc.server import ServerConnection, refused
from mta.master.permission import Permission
from mta.proto.status import INTERNAL_ERROR, MailError, Status
from mta.queue.entry import Entry, domain_of, oldest_first
from mta.queue.store import QueueStore
from mta.util.log import Log
from mta.util.threads import WorkerPool

__all__ = ["Conversation", "Services"]

_SILENCE: Final = 3600.0  # seconds: somebody reads the list page by page
_UNREADABLE: Final = Status(451, "4.3.0", "The mail queue cannot be read")


class Services(Struct, frozen=True):
    """What the conversations share."""

    store: QueueStore
    threads: WorkerPool
    flushing: Flushing
    may_look: Permission
    may_flush: Permission
    log: Log


class Conversation(ServerConnection[ShowqRequest]):
    """The requests of one connection, one at a time."""

    def __init__(
        self,
        client: socket.socket,
        uid: int,
        services: Services,
        *,
        used: Callable[[], None],
        finished: Callable[[], None],
    ) -> None:
        self._uid = uid
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._drained = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._watch = self._loop.call_later(_SILENCE, self._let_go)
        super().__init__(client, ShowqRequest, log=services.log, used=used, finished=finished)

    def begun(self, number: int, request: ShowqRequest, descriptors: tuple[int, ...]) -> None:
        """Take a request."""
        self._heard()
        self._working = self._loop.create_task(self._serve(number, request))

    def ended(self) -> None:
        """Stop a list; what the queue manager was asked is asked to its end."""
        self._watch.cancel()
        self._drained.set()

    def _adjust_reading(self) -> None:
        super()._adjust_reading()
        if not self._connection.congested:
            self._drained.set()

    def _may_read(self) -> bool:
        return not self.open_numbers and super()._may_read()

    async def _serve(self, number: int, request: ShowqRequest) -> None:
        try:
            if isinstance(request, ListQueue):
                await self._services.may_look.check(self._uid)
                await self._list(number)
            else:
                await self._services.may_flush.check(self._uid)
                count = await self._flush(request)
                self._services.log.info("flushed", uid=self._uid, messages=count)
                self.reply(number, Accepted(count))
        except MailError as error:
            self._refuse(number, error)
        except (OSError, RuntimeError) as error:  # of the folders; or no thread can be had
            self._refuse(number, MailError(_UNREADABLE, str(error)))
        except Exception as error:  # noqa: BLE001 - one request must not end the daemon
            self._services.log.failure("internal_error", error)
            self._refuse(number, MailError(INTERNAL_ERROR, repr(error)))

    async def _list(self, number: int) -> None:
        parts = portions(oldest_first(self._services.store))
        count, last = 0, ""
        while not (self._connection.is_closed or self._connection.send_failed):
            part = await self._in_thread(parts)
            ids = [message.queue_id for message in part.messages]
            count += sum(here != before for before, here in zip([last, *ids], ids, strict=False))
            last = ids[-1] if ids else last
            if not part.more:
                self._services.log.info(
                    "listed", uid=self._uid, messages=count, damaged=part.damaged
                )
                self.reply(number, part)
                return
            self._drained.clear()
            self._connection.send(number, part)
            self._heard()
            if self._connection.congested:
                await self._drained.wait()
        self.finish(number)

    async def _in_thread(self, parts: Iterator[Listed]) -> Listed:
        return await self._loop.run_in_executor(self._services.threads, lambda: next(parts))

    async def _flush(self, request: Flush | FlushDomain) -> int:
        flushing = self._services.flushing
        if isinstance(request, Flush):
            return await flushing.flush(request.queue_id)
        domain = request.domain.casefold()
        services = self._services

        def find() -> list[str]:
            found = oldest_first(services.store, ("incoming", "deferred"))
            return [entry.queue_id for entry in found if _is_for(entry, domain)]

        return await flushing.flush_each(lambda: self._loop.run_in_executor(services.threads, find))

    def _refuse(self, number: int, error: MailError) -> None:
        self._services.log.warning(
            "refused", uid=self._uid, status=str(error.status), reason=error.reason
        )
        self.reply(number, refused(error))

    def _heard(self) -> None:
        """Begin to count the client's silence anew."""
        self._watch.cancel()
        self._watch = self._loop.call_later(_SILENCE, self._let_go)

    def _let_go(self) -> None:
        self._services.log.warning("caller_silent", uid=self._uid)
        self.abort()


def _is_for(entry: Entry, domain: str) -> bool:
    return any(domain_of(address) == domain for address in entry.recipients)
