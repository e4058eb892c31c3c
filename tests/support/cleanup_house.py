"""cleanup with its real socket and a real queue, and clients that speak to it.

with ExitStack() as stack:
    cleanup = Cleanup(directory, stack, hopcount_limit=5)
    reply = cleanup.connect().ask(1, begin(MESSAGE))
    message, content = cleanup.stored(reply)
"""

import socket
from contextlib import ExitStack
from pathlib import Path

import msgspec

from mta.ipc.messages import (
    FRAME_LIMIT,
    Begin,
    CleanupReply,
    Committed,
    Message,
    QmgrRequest,
    Refused,
)
from mta.master.channel import Crossing
from mta.proto.envelope import Origin, Recipient
from mta.queue.layout import create_layout
from mta.queue.reader import StoredMessage
from mta.queue.store import QueueStore
from support.own_master import DaemonProcess, write_snapshot

__all__ = ["LIMITS", "MESSAGE", "ORIGIN", "Cleanup", "Peer", "begin", "recipients", "refusal"]

ORIGIN = Origin("ESMTP", "192.0.2.1", 40000, "client.example", "smtp")
MESSAGE = b"Subject: x\r\nDate: today\r\nMessage-ID: <a@b.example>\r\n\r\nbody\r\n"
LIMITS = {"message_size_limit": 730_000, "header_size_limit": 4096, "hopcount_limit": 5}


def recipients(count: int = 1) -> tuple[Recipient, ...]:
    addresses = [f"user{number}@posthouse.test" for number in range(count)]
    return tuple(Recipient(address, address) for address in addresses)


def begin(
    content: bytes = MESSAGE, *, to: tuple[Recipient, ...] | None = None, last: bool = True
) -> Begin:
    to = recipients() if to is None else to
    return Begin("alice@example.org", ORIGIN, False, to, content, last)


class Peer:
    """One end of a SEQPACKET connection, blocking."""

    def __init__(self, connection: socket.socket, received: object) -> None:
        self._socket = connection
        self._socket.settimeout(10)
        self._received = received

    def say(self, number: int, body: Message) -> None:
        self._socket.send(msgspec.msgpack.encode((1, number, body)))

    def say_octets(self, frame: bytes) -> None:
        self._socket.send(frame)

    def hear(self) -> tuple[int, Message]:
        """Number and body of the next frame; EOFError at the end."""
        frame = self._socket.recv(FRAME_LIMIT)
        if not frame:
            raise EOFError
        _, number, body = msgspec.msgpack.decode(frame)
        return number, msgspec.convert(body, type=self._received)

    def ask(self, number: int, body: Message) -> Message:
        self.say(number, body)
        answered, reply = self.hear()
        assert answered == number
        return reply

    def close(self) -> None:
        self._socket.close()


class Cleanup:
    """The daemon, its queue, and whoever listens as the queue manager."""

    def __init__(self, directory: Path, stack: ExitStack, **parameters: object) -> None:
        self.directory = directory
        self._stack = stack
        create_layout(str(directory))
        write_snapshot(
            directory, {"name": "cleanup", "daemon": "cleanup"}, parameters=LIMITS | parameters
        )
        self._listener = self._listen("private/cleanup")
        self._qmgr = self._listen("public/qmgr")
        self.queue = QueueStore(str(directory))
        stack.callback(self.queue.close)
        listeners = [("ipc:private/cleanup", self._listener.fileno())]
        self.daemon = DaemonProcess(
            ["-m", "mta.daemons.cleanup"], directory, listeners, service="cleanup"
        )
        stack.enter_context(self.daemon)
        assert self.daemon.hear() == Crossing("free")

    def _listen(self, name: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stack.enter_context(listener)
        listener.bind(str(self.directory / name))
        listener.listen()
        return listener

    def connect(self) -> Peer:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stack.enter_context(connection)
        connection.connect(str(self.directory / "private/cleanup"))
        return Peer(connection, CleanupReply)

    def qmgr(self) -> Peer:
        """The connection on which cleanup tells its news."""
        self._qmgr.settimeout(10)
        connection, _ = self._qmgr.accept()
        self._stack.enter_context(connection)
        return Peer(connection, QmgrRequest)

    def stored(self, reply: Message) -> tuple[StoredMessage, bytes]:
        """The message behind a positive answer, and its content."""
        assert isinstance(reply, Committed), reply
        message = self._stack.enter_context(self.queue.open_message("incoming", reply.queue_id))
        message.verify_content()
        return message, b"".join(message.content())

    def files(self) -> list[Path]:
        return [path for path in (self.directory / "incoming").rglob("*") if path.is_file()]


def refusal(reply: Message) -> str:
    assert isinstance(reply, Refused), reply
    return f"{reply.status.code} {reply.status.enhanced}"
