"""A service of the internal protocol whose answers a test scripts; it shares no code with mta.ipc.

`answer(request, descriptors)` runs in a thread of the connection. It returns a message to reply
with, octets to send as they are, or None: then the connection is closed without a word. What it
returns for a message that has no reply is ignored.
"""

import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType, UnionType
from typing import Final, Generic, Self, TypeVar

import msgspec

from mta.ipc.messages import FRAME_LIMIT, PROTOCOL_VERSION, Message

__all__ = ["ScriptedService", "ask", "call", "listen_ipc", "notify"]

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Answer = Callable[[Request, list[int]], Message | bytes | None]

_PATIENCE: Final = 10.0  # seconds


def listen_ipc(directory: Path, path: str) -> socket.socket:
    """A SEQPACKET listener at `path` below the directory."""
    (directory / path).parent.mkdir(exist_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(str(directory / path))
    server.listen(128)
    return server


def _frame(number: int, body: Message) -> bytes:
    return msgspec.msgpack.encode((PROTOCOL_VERSION, number, body))


def _body(data: bytes, kind: type[Request] | UnionType) -> tuple[int, Request]:
    """The number and the body of a frame."""
    version, number, body = msgspec.msgpack.decode(data, type=tuple[int, int, list[object]])
    assert version == PROTOCOL_VERSION
    request: Request = msgspec.convert(body, kind)
    return number, request


def notify(directory: Path, path: str, body: Message) -> None:
    """Send one message that has no reply."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(directory / path))
        client.send(_frame(1, body))


def call(directory: Path, path: str, body: Message, reply_type: type[Reply]) -> Reply:
    """Send one request on a connection of its own and return its reply."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(_PATIENCE)
        client.connect(str(directory / path))
        return ask(client, 1, body, reply_type)


def ask(
    client: socket.socket,
    number: int,
    body: Message,
    reply_type: type[Reply],
    descriptors: Sequence[int] = (),
) -> Reply:
    """Send one request with descriptors and return its reply."""
    socket.send_fds(client, [_frame(number, body)], list(descriptors))
    answered, reply = _body(client.recv(FRAME_LIMIT), reply_type)
    assert answered == number
    return reply


class ScriptedService(Generic[Request]):
    """Serves one socket from construction to the end of its context."""

    def __init__(
        self,
        directory: Path,
        path: str,
        request_type: type[Request] | UnionType,
        answer: Answer[Request],
    ) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self._request_type = request_type
        self._server = listen_ipc(directory, path)
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in (self._server, *self._clients):
            with suppress(OSError):  # not connected, or gone
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed at the end
            while True:
                client, _ = self._server.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):  # closed at the end, or the peer was killed
            while self._serve_one(client):
                pass
            client.close()

    def _serve_one(self, client: socket.socket) -> bool:
        data, descriptors, _, _ = socket.recv_fds(client, FRAME_LIMIT, 4)
        if not data:
            return False
        number, request = _body(data, self._request_type)
        self.requests.append(request)
        try:
            reply = self.answer(request, descriptors)
            if not request.answered:
                return True
            if reply is not None:
                client.send(reply if isinstance(reply, bytes) else _frame(number, reply))
            return reply is not None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
