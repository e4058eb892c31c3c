"""pickup with its real socket and maildrop, and a cleanup and a rewrite that a test scripts.

with ExitStack() as stack:
    house = Pickup(directory, stack)
    drop(house.maildrop)
    house.wake()
    (message,) = wait_until(house.committed, "a message")
"""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mta.ipc.messages import (
    Begin,
    CleanupRequest,
    Committed,
    DomainClass,
    Message,
    More,
    PickupReply,
    Resolve,
    Resolved,
    RewriteRequest,
)
from mta.master.channel import Command, Crossing
from mta.queue.layout import create_layout
from support.cleanup_house import Peer
from support.own_master import DaemonProcess, write_snapshot
from support.scripted_service import ScriptedService

__all__ = ["Pickup", "Received", "resolve"]

QUEUE_ID = "B" * 22


@dataclass
class Received:
    """One message as cleanup got it."""

    begin: Begin
    recipients: list[str] = field(default_factory=list)
    content: bytes = b""


def resolve(request: Resolve, _descriptors: list[int]) -> Message:
    """Every address without a domain is of this host."""
    address = request.address if "@" in request.address else f"{request.address}@posthouse.test"
    return Resolved(address, DomainClass.LOCAL, "local", "")


class Pickup:
    """The daemon, its neighbours, and the master's side of it."""

    def __init__(self, directory: Path, stack: ExitStack, **parameters: object) -> None:
        self.directory = directory
        self.maildrop = Path(str(parameters.get("maildrop_directory", directory / "maildrop")))
        self.answer: Callable[[Received], Message | bytes | None] = lambda _: Committed(QUEUE_ID)
        self._stack = stack
        self._received: list[Received] = []
        self._open: dict[int, Received] = {}
        self._lock = threading.Lock()
        create_layout(str(directory))
        self._parameters = parameters
        stack.enter_context(
            ScriptedService(directory, "private/cleanup", CleanupRequest, self._cleanup)
        )
        stack.enter_context(
            ScriptedService(directory, "private/rewrite", RewriteRequest, resolve)
        )
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.enter_context(self._listener)
        self._listener.bind(str(directory / "public/pickup"))
        self._listener.listen()
        self.start()

    def start(self) -> None:
        """Start the daemon, for the first time or again."""
        write_snapshot(
            self.directory,
            {"name": "pickup", "daemon": "pickup", "client_limit": 50},
            parameters=self._parameters,
        )
        listeners = [("ipc:public/pickup", self._listener.fileno())]
        self.daemon = DaemonProcess(
            ["-m", "mta.daemons.pickup"], self.directory, listeners, service="pickup"
        )
        self._stack.enter_context(self.daemon)
        assert self.daemon.hear() == Crossing("free"), self.daemon.log()

    def wake(self) -> None:
        self.daemon.tell(Command("wake"))

    def connect(self) -> Peer:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stack.enter_context(connection)
        connection.connect(str(self.directory / "public/pickup"))
        return Peer(connection, PickupReply)

    def committed(self) -> list[Received]:
        """The messages that cleanup has heard the end of."""
        with self._lock:
            return list(self._received)

    def files(self) -> set[str]:
        """What lies in the maildrop."""
        return set(os.listdir(self.maildrop))

    def corrupt(self) -> list[Path]:
        """What was set aside."""
        return [path for path in (self.directory / "corrupt").glob("*/*")]

    def events(self, event: str) -> list[dict[str, Any]]:
        return self.daemon.events(event)

    def _cleanup(self, request: Begin | More, _descriptors: list[int]) -> Message | bytes | None:
        with self._lock:
            thread = threading.get_ident()  # of the connection
            if isinstance(request, Begin):
                self._open[thread] = Received(request)
            message = self._open[thread]
            message.recipients += [recipient.address for recipient in request.recipients]
            message.content += request.content
        if not request.last:
            return b""
        reply = self.answer(message)
        if isinstance(reply, Committed):
            with self._lock:
                self._received.append(message)
        return reply
