"""Accepting by hand: one client at a time, never beyond the limit.

An event loop's own server accepts as many clients as the backlog holds on one event and shrinks
the backlog that the master owns. Here a full daemon leaves its clients in the accept queue, where
another process finds them. The listening sockets are shared with other processes: finding nothing
to accept is normal.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from typing import Final

from mta.master.checkin import Listener
from mta.util.log import Log

__all__ = ["Acceptor"]

_BATCH: Final = 16  # clients accepted at one event, so that other work goes on
_EXHAUSTED_PAUSE: Final = 1.0  # seconds
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# accept(2): what happened to that one client on its way in.
_CLIENT_GONE: Final = {
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENONET,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EPROTO,
}


class Acceptor:
    """Accepts while there is room, and tells when that changes.

    `room` says how many more clients may come. `admit` takes one client (non-blocking,
    close-on-exec) and the listener's name. `crossed` is called with True when the daemon begins to
    accept and with False when it ceases to, though not when a free place was taken at once.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        room: Callable[[], int],
        admit: Callable[[socket.socket, str], None],
        crossed: Callable[[bool], None],
    ) -> None:
        self._loop = loop
        self._log = log
        self._room = room
        self._admit = admit
        self._crossed = crossed
        self._listeners: list[tuple[socket.socket, str]] = []
        self._accepting = False
        self._refill: asyncio.Handle | None = None
        self._pause: asyncio.TimerHandle | None = None

    def open(self, listeners: Sequence[Listener]) -> None:
        """Begin to accept from these; they are the acceptor's to close."""
        for listener in listeners:
            server = socket.socket(fileno=listener.descriptor)
            server.setblocking(False)
            self._listeners.append((server, listener.name))
        self._settle()

    def room_again(self) -> None:
        """Note that there may be room again: whoever waits is taken before anything is told."""
        if not self._accepting and self._refill is None and self._pause is None:
            self._refill = self._loop.call_soon(self._accept_waiting)

    def close(self) -> None:
        """Accept nothing more; the clients in the accept queue stay there, for others."""
        self._watch(False)
        for server, _ in self._listeners:
            server.close()
        self._listeners.clear()
        for handle in (self._refill, self._pause):
            if handle is not None:
                handle.cancel()

    def _accept_waiting(self) -> None:
        self._refill = self._pause = None
        for server, name in list(self._listeners):
            self._accept_batch(server, name)
        self._settle()

    def _readable(self, server: socket.socket, name: str) -> None:
        self._accept_batch(server, name)
        self._settle()

    def _accept_batch(self, server: socket.socket, name: str) -> None:
        for _ in range(_BATCH):
            if self._room() <= 0 or self._pause is not None:
                return
            try:
                client, _ = server.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _CLIENT_GONE:
                    continue
                self._exhausted(error)
                return
            client.setblocking(False)
            self._admit(client, name)

    def _exhausted(self, error: OSError) -> None:
        """Count as full for a while; an unknown error does too, for it must not spin."""
        level = self._log.warning if error.errno in _EXHAUSTED else self._log.error
        level("accept_paused", reason=str(error), seconds=_EXHAUSTED_PAUSE)
        self._pause = self._loop.call_later(_EXHAUSTED_PAUSE, self._accept_waiting)

    def _settle(self) -> None:
        accepting = bool(self._listeners) and self._pause is None and self._room() > 0
        if accepting != self._accepting:
            self._watch(accepting)
            self._crossed(accepting)

    def _watch(self, accepting: bool) -> None:
        if accepting == self._accepting:
            return
        self._accepting = accepting
        for server, name in self._listeners:
            if accepting:
                self._loop.add_reader(server, self._readable, server, name)
            else:
                self._loop.remove_reader(server)
