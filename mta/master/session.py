"""What a daemon's module and the skeleton owe each other.

The skeleton calls the handler: start, then connect for each client (or adopt for each pipe), wake,
stop; and each session: retire, expire, abort, every one a more urgent request to end. The handler
calls finished() once for each client, and Context.used() for each unit of work.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.config.snapshot import Service, Snapshot
from mta.util.log import Log

__all__ = ["Context", "Handler", "PipeReader", "Session", "Used"]


class Used(Protocol):
    """Counts units of work: a connection in smtpd, a request in a server of requests."""

    def __call__(self, units: int = 1) -> None:
        """Count `units` more."""


class Context(Struct, frozen=True, kw_only=True):
    """All that a daemon gets to know."""

    log: Log
    parameters: Parameters  # the row's settings applied
    snapshot: Snapshot
    service: Service  # the row that this process runs for
    loop: asyncio.AbstractEventLoop
    used: Used  # feeds the master's `served` and max_use
    retire: Callable[[], None]  # end in order, once the present call is over: a new process is due


class Session(Protocol):
    """One client, from connect() to finished()."""

    @property
    def idle(self) -> bool:
        """Whether the client has nothing in hand, so that it must not keep the daemon alive."""

    def retire(self) -> None:
        """The daemon accepts nothing more: say so if the protocol can (ipc: Goodbye)."""

    def expire(self) -> None:
        """End at the next place where nothing is lost: between transactions (SMTP: 421)."""

    def abort(self) -> None:
        """End now, whatever is in hand."""


class Handler(Protocol):
    """What a daemon does; all calls come from the loop's thread.

    An exception in start() ends the process, which the master then starts again at growing
    intervals. An exception in connect() costs that client its connection, nothing else.
    """

    async def start(self) -> None:
        """Prepare, before the first client; the daemon counts as free when this returns.

        Look for work here too: a process that was started for its wakeup time is not woken besides.
        """

    def connect(
        self, client: socket.socket, listener: str, finished: Callable[[], None]
    ) -> Session:
        """Take a client: its socket is non-blocking, and the handler's to close.

        `listener` is the listen address as in the table, or "stdio". Call `finished` once, when
        the session is over and the socket closed; within connect() already, if need be.
        """

    def wake(self) -> None:
        """Look for work: the row's wakeup time has come, or an operator asked."""

    async def stop(self) -> None:
        """Put things in order after the last session; little time is given."""


@runtime_checkable
class PipeReader(Protocol):
    """A handler whose row listens on pipes: start, wake and stop are as in `Handler`."""

    async def start(self) -> None:
        """Prepare, before the first pipe."""

    def adopt(self, listener: str, descriptor: int) -> None:
        """Read from this pipe, non-blocking, until stop()."""

    def wake(self) -> None:
        """Look for work."""

    async def stop(self) -> None:
        """Read what is left, and put things in order."""
