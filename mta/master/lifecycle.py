"""The life of a daemon between check-in and exit: clients come and go, and it ends in order.

    begins          max_idle passed, max_use reached, `retire`   SIGTERM, the master is gone
    accepts no more at once, with a bye                          at once, with a bye
    expires         after 60 s (idle: at once)                   at once
    aborts          after 300 s                                  after 3 s

It ends as soon as its last session is over and the handler has stopped, which has the same time.
"""

import asyncio
import os
import socket
from collections.abc import Callable

from msgspec import Struct

from mta.config.snapshot import Service
from mta.master.accept import Acceptor
from mta.master.checkin import Birth
from mta.master.link import Link
from mta.master.session import Handler, PipeReader, Session
from mta.util.log import Log
from mta.util.peer import peer_credentials

__all__ = ["Lifecycle", "Pace"]

Connect = Callable[[socket.socket, str, Callable[[], None]], Session]

_SHORTEST_LOOK = 0.1  # seconds between two looks for idleness
_FIRST_CLIENT = 1.0  # seconds in which the client that the process was started for must come


class Pace(Struct, frozen=True, kw_only=True):
    """How long an ending daemon waits, in seconds; only tests have reason to change it."""

    expire: float = 60.0
    abort: float = 300.0
    hasty_abort: float = 3.0
    last_words: float = 0.5  # from abort to the end of the sessions, and again to the exit


class _Place:
    """One client's place; its session may be over before connect() has returned it."""

    def __init__(self, ended: Callable[["_Place"], None]) -> None:
        self.session: Session | None = None
        self._ended = ended

    def finished(self) -> None:
        self._ended(self)


class Lifecycle:
    """Serves one row: admits clients up to its limit, counts, and ends in order."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        service: Service,
        birth: Birth,
        pace: Pace,
        users: frozenset[int],
        *,
        strangers: bool = False,
    ) -> None:
        """`users` are the uids that may connect to the daemons' own sockets.

        With `strangers` anybody may connect to those in public/.
        """
        self._loop = loop
        self._log = log
        self._service = service
        self._birth = birth
        self._pace = pace
        self._users = users
        self._open = ("ipc:public/",) if strangers else ()
        self._handler: Handler | PipeReader | None = None
        self._connect: Connect | None = None
        self._places: set[_Place] = set()
        self.served = 0
        # Processes that were started together must not retire together.
        jitter = 0.9 + 0.2 * os.urandom(1)[0] / 255
        self._most_use = round(service.max_use * jitter) or service.max_use
        self._active = loop.time()
        self._reason = ""  # why it ends
        self._over = asyncio.Event()
        self._exhausted = asyncio.Event()
        self.link = Link(loop, birth.channel, log, self._command, self._orphaned)
        self._acceptor = Acceptor(loop, log, self._room, self._admit, self._crossed)

    def used(self, units: int = 1) -> None:
        """Count units of work; max_use retires the daemon once the present call is over."""
        self.served += units
        self._active = self._loop.time()
        self.link.counters(len(self._places), self.served)
        if self._spent and not self._reason:
            self._loop.call_soon(self.retire, "max_use")

    def open(self, handler: Handler | PipeReader) -> None:
        """Begin to serve with a handler that has started."""
        self._handler = handler
        pipes = [listener for listener in self._birth.listeners if listener.is_pipe]
        sockets = [listener for listener in self._birth.listeners if not listener.is_pipe]
        if isinstance(handler, PipeReader):
            for pipe in pipes:
                handler.adopt(pipe.name, pipe.descriptor)
        else:
            self._connect = handler.connect
        self._acceptor.open(sockets)
        if not sockets:
            self.link.crossing("free")  # nobody to accept, yet ready
        if self._service.restart == "on_demand" and sockets:
            self._active = self._loop.time()
            first = max(self._service.max_idle, _FIRST_CLIENT)
            self._loop.call_later(first, self._look_idle)

    def open_single(self, handler: Handler, client: socket.socket) -> None:
        """Serve this one client and end."""
        self._handler = handler
        self._connect = handler.connect
        self._reason = "retired"
        self._admit(client, "stdio")
        self._end_if_empty()

    async def over(self) -> str:
        """Wait for the end; return its reason."""
        await self._over.wait()
        return self._reason

    async def exhausted(self) -> None:
        """Wait until the time of an ordered end is used up."""
        await self._exhausted.wait()

    def retire(self, reason: str) -> None:
        """Accept nothing more and end after the sessions in hand: with time, then without."""
        if not self._begin_end(reason):
            return
        self._loop.call_later(self._pace.expire, self._expire)
        self._loop.call_later(self._pace.abort, self._abort)

    def due(self) -> None:
        """Retire once the present call is over: the daemon knows that a new process should come."""
        self._loop.call_soon(self.retire, "retired")

    def hurry(self) -> None:
        """End within seconds: SIGTERM, or no master."""
        self._begin_end("retired")
        self._expire()
        self._loop.call_later(self._pace.hasty_abort, self._abort)

    def report(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Log what a callback or a task did not catch; the loop goes on."""
        del loop
        text = str(context.get("message", ""))
        error = context.get("exception")
        if isinstance(error, BaseException):
            self._log.failure("unhandled", error, text=text)
        else:
            self._log.error("unhandled", text=text)

    @property
    def _spent(self) -> bool:
        return 0 < self._most_use <= self.served

    def _room(self) -> int:
        return 0 if self._spent else self._service.client_limit - len(self._places)

    def _crossed(self, accepting: bool) -> None:
        self.link.crossing("free" if accepting else "full")

    def _admit(self, client: socket.socket, listener: str) -> None:
        assert self._connect is not None
        own = listener.startswith("ipc:") and not listener.startswith(self._open)
        if own and self._is_stranger(client, listener):
            client.close()
            return
        place = _Place(self._ended)
        self._places.add(place)
        try:
            place.session = self._connect(client, listener, place.finished)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this client's alone
            self._log.failure("connect_failed", error, listener=listener)
            client.close()
            if place in self._places:
                self._ended(place)
        self._active = self._loop.time()
        self.link.counters(len(self._places), self.served)

    def _is_stranger(self, client: socket.socket, listener: str) -> bool:
        pid, uid = peer_credentials(client)
        if uid in self._users:
            return False
        self._log.warning("stranger", listener=listener, peer=pid, uid=uid)
        return True

    def _ended(self, place: _Place) -> None:
        if place not in self._places:
            self._log.error("finished_twice")
            return
        self._places.remove(place)
        self._active = self._loop.time()
        self.link.counters(len(self._places), self.served)
        if self._reason:
            self._end_if_empty()
        else:
            self._acceptor.room_again()

    def _command(self, name: str) -> None:
        if name == "retire":
            self.retire("retired")
        elif name == "expire":
            self._expire()
        elif self._handler is not None and not self._reason:
            self._active = self._loop.time()
            self._ask(self._handler.wake)

    def _orphaned(self) -> None:
        self._log.error("master_gone")
        self.hurry()

    def _look_idle(self) -> None:
        """End after max_idle; the session's idleness has no event, so it is looked at."""
        if self._reason:
            return
        pause = self._service.max_idle
        if any(place.session is not None and not place.session.idle for place in self._places):
            wait = pause / 4
        else:
            wait = self._active + pause - self._loop.time()
            if wait <= 0:
                self.retire("idle")
                self._expire()
                return
        self._loop.call_later(max(wait, _SHORTEST_LOOK), self._look_idle)

    def _begin_end(self, reason: str) -> bool:
        """Close the listeners; False if that was done before."""
        if self._reason:
            return False
        self._reason = reason
        self._acceptor.close()
        self._log.info("retiring", reason=reason, clients=len(self._places), served=self.served)
        self.link.bye(reason)
        for session in self._sessions():
            self._ask(session.retire)
        self._end_if_empty()
        return True

    def _expire(self) -> None:
        for session in self._sessions():
            self._ask(session.expire)

    def _abort(self) -> None:
        if self._places:
            self._log.warning("aborting", clients=len(self._places))
        for session in self._sessions():
            self._ask(session.abort)
        # A session that does not even heed this is left to the end of the process.
        self._loop.call_later(self._pace.last_words, self._over.set)
        self._loop.call_later(2 * self._pace.last_words, self._exhausted.set)

    def _sessions(self) -> list[Session]:
        return [place.session for place in self._places if place.session is not None]

    def _ask(self, request: Callable[[], None]) -> None:
        try:
            request()
        except Exception as error:  # noqa: BLE001 - one session's fault must not stop the others
            self._log.failure("unhandled", error, text=f"{request} failed")

    def _end_if_empty(self) -> None:
        if not self._places:
            self._over.set()
