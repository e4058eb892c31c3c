"""The daemon skeleton for a row that forks: no event loop and no thread, one poll(2).

    check-in -> snapshot -> log -> make(context) -> clients, until it ends in order

The law: what a child inherits is its parent, so there is nothing here that a fork could break or
that a child would have to undo: asyncio is not even imported. There is no sandbox for the same
reason: Landlock and no_new_privs would be the children's too, and what they run may be anything.

    begins     max_idle passed, max_use reached, `retire`    SIGTERM, the master is gone
    accepts    no more at once, with a bye                   at once, with a bye
    aborts     never: its children have deadlines            after 3 s

NAME
    mta.master.plain - what a daemon without an event loop has in place of mta.master.daemon

DIAGNOSTICS, SIGNALS
    As of mta.master.daemon.
"""

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from msgspec import Struct

from mta.config.snapshot import Service, Snapshot, SnapshotError, load_snapshot
from mta.master.channel import Bye, Counters, Crossing, encode
from mta.master.checkin import STDERR, Birth, CheckinError, check_in
from mta.master.plain_link import PlainLink
from mta.master.row import daemon_name, row_of
from mta.master.users import house_users
from mta.master.watch import Watch
from mta.util.log import Log
from mta.util.peer import peer_credentials

__all__ = ["PlainContext", "PlainHandler", "run_plain"]

_HASTY_ABORT: Final = 3.0  # seconds, as of mta.master.lifecycle
_LAST_WORDS: Final = 0.5  # from the abort to the exit
_COUNTERS_INTERVAL: Final = 1.0
_FIRST_CLIENT: Final = 1.0  # seconds in which the client that the process was started for comes
_EXHAUSTED_PAUSE: Final = 1.0  # after accept(2) failed


class PlainContext(Struct, frozen=True, kw_only=True):
    """All that such a daemon gets to know."""

    log: Log
    snapshot: Snapshot
    service: Service
    watch: Watch


class PlainHandler(Protocol):
    """What such a daemon does; nothing of it may block."""

    served: int  # requests since birth

    @property
    def clients(self) -> int:
        """Connected now."""

    @property
    def busy(self) -> bool:
        """Whether anything is in hand."""

    def admit(self, client: socket.socket) -> None:
        """Take a client: its socket is non-blocking, and the handler's to close."""

    def look(self, now: float) -> float:
        """Do what is due, on the monotonic clock; return when to look again."""

    def retire(self) -> None:
        """Begin nothing more."""

    def abort(self) -> None:
        """End what is in hand, now."""


def run_plain(make: Callable[[PlainContext], PlainHandler]) -> None:
    """Be a daemon until its end, and exit: this does not return."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    try:
        birth = check_in(sys.argv[1:], os.environ)
    except CheckinError as error:
        Log(STDERR, daemon_name(), "", 0).error("checkin_failed", reason=str(error))
        sys.exit(os.EX_USAGE)
    log = Log(birth.log, birth.service or daemon_name(), birth.process, birth.generation)
    try:
        status = _live(birth, log, make)
    except Exception as error:  # noqa: BLE001 - the last border: said, then the end
        log.failure("crashed", error)
        status = os.EX_SOFTWARE
    sys.exit(status)


def _live(birth: Birth, log: Log, make: Callable[[PlainContext], PlainHandler]) -> int:
    try:
        snapshot = load_snapshot(birth.generation)
        service = row_of(snapshot, birth.service)
        users = house_users(snapshot, service)
        if birth.stdio:
            raise SnapshotError("this daemon has no single client: --stdio means nothing to it")
    except (SnapshotError, KeyError) as error:
        log.error("start_failed", reason=str(error))
        if birth.channel is not None:
            birth.channel.send(encode(Bye("failed")))
        return os.EX_CONFIG
    gc.freeze()  # what was imported stays: no child comes to copy it for a look at it
    gc.enable()  # it was off since the start: see mta.daemons
    watch = Watch()
    context = PlainContext(log=log, snapshot=snapshot, service=service, watch=watch)
    life = _Life(birth, log, service, users, watch, make(context))
    return life.live()


class _Life:
    """Admits clients up to the row's limit, counts, and ends in order."""

    def __init__(
        self,
        birth: Birth,
        log: Log,
        service: Service,
        users: frozenset[int],
        watch: Watch,
        handler: PlainHandler,
    ) -> None:
        self._log = log
        self._service = service
        self._users = users
        self._watch = watch
        self._handler = handler
        # Processes that were started together must not retire together.
        jitter = 0.9 + 0.2 * os.urandom(1)[0] / 255
        self._most_use = round(service.max_use * jitter) or service.max_use
        self._reason = ""  # why it ends
        self._abort_at = self._end_at = float("inf")
        self._accept_at = 0.0  # not before
        self._accepting = False
        self._active = time.monotonic()
        self._counters_at = 0.0
        self._told = Counters(0, 0)
        self._link = PlainLink(birth.channel, log, watch, self._command, self._orphaned)
        self._listeners = [(it.name, socket.socket(fileno=it.descriptor)) for it in birth.listeners]

    def live(self) -> int:
        """Serve until the end; the exit status."""
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._watch.add(reader, partial(self._terminated, reader))
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGTERM, lambda *_: None)  # the pipe tells of it, between two calls
        for _, listener in self._listeners:
            listener.setblocking(False)
        self._log.info("started", listeners=" ".join(name for name, _ in self._listeners))
        first = max(self._service.max_idle, _FIRST_CLIENT) - self._service.max_idle
        self._active = time.monotonic() + first
        while True:
            now = time.monotonic()
            patience = self._tend(now)
            if (self._reason and not self._handler.busy) or now >= self._end_at:
                break
            self._watch.wait(patience - now)
        self._tell_counters()
        self._log.info("ended", reason=self._reason, served=self._handler.served)
        return os.EX_OK

    def _tend(self, now: float) -> float:
        """Do what is due; when there will be more."""
        served = self._told.served
        again = self._handler.look(now)
        if self._handler.busy or self._handler.served != served:
            self._active = max(now, self._active)
        if self._most_use and self._handler.served >= self._most_use:
            self._end("max_use")
        elif self._is_on_demand and now >= self._active + self._service.max_idle:
            self._end("idle")
        if now >= self._abort_at:
            self._abort_at, self._end_at = float("inf"), now + _LAST_WORDS
            self._handler.abort()
        self._settle(now)
        if self._counters != self._told and now >= self._counters_at:
            self._tell_counters()
            self._counters_at = now + _COUNTERS_INTERVAL
        return min(again, self._next(now))

    def _next(self, now: float) -> float:
        """When the next of our own matters is due."""
        times = [self._abort_at, self._end_at]
        if self._counters != self._told:
            times.append(self._counters_at)
        if self._accept_at > now:
            times.append(self._accept_at)
        if self._is_on_demand and not self._handler.busy and not self._reason:
            times.append(self._active + self._service.max_idle)
        # poll(2) counts in milliseconds: to wake a little late is better than to wake in vain.
        return min(times) + 0.001

    @property
    def _is_on_demand(self) -> bool:
        return self._service.restart == "on_demand"

    @property
    def _counters(self) -> Counters:
        return Counters(self._handler.clients, self._handler.served)

    def _tell_counters(self) -> None:
        if self._counters != self._told:
            self._told = self._counters
            self._link.say(self._told)

    def _settle(self, now: float) -> None:
        """Watch the listeners as long as there is room, and tell when that changes."""
        room = self._handler.clients < self._service.client_limit
        accepting = room and not self._reason and now >= self._accept_at
        if accepting == self._accepting:
            return
        self._accepting = accepting
        for name, listener in self._listeners:
            if accepting:
                self._watch.add(listener.fileno(), partial(self._accept, name, listener))
            else:
                self._watch.remove(listener.fileno())
        if not self._reason:
            self._link.say(Crossing("free" if accepting else "full"))

    def _accept(self, name: str, listener: socket.socket) -> None:
        """Take one client; the next call of poll(2) finds the next."""
        if self._handler.clients >= self._service.client_limit or self._reason:
            return
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            self._log.warning("accept_paused", reason=str(error), seconds=_EXHAUSTED_PAUSE)
            self._accept_at = time.monotonic() + _EXHAUSTED_PAUSE
            return
        pid, uid = peer_credentials(client)
        if uid not in self._users:
            self._log.warning("stranger", listener=name, peer=pid, uid=uid)
            client.close()
            return
        client.setblocking(False)
        self._handler.admit(client)

    def _command(self, name: str) -> None:
        if name == "retire":
            self._end("retired")

    def _orphaned(self) -> None:
        self._log.error("master_gone")
        self._hurry()

    def _terminated(self, reader: int) -> None:
        os.read(reader, 4096)
        self._hurry()

    def _hurry(self) -> None:
        self._end("retired")
        self._abort_at = min(self._abort_at, time.monotonic() + _HASTY_ABORT)

    def _end(self, reason: str) -> None:
        if self._reason:
            return
        self._reason = reason
        clients, served = self._handler.clients, self._handler.served
        self._log.info("retiring", reason=reason, clients=clients, served=served)
        self._settle(time.monotonic())
        for _, listener in self._listeners:
            listener.close()
        self._link.say(Bye(reason))
        self._handler.retire()
