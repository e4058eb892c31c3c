"""A pickup that answers as a test wants: what sendmail sees of a running system.

with ScriptedPickup(queue, answer) as pickup:
    ...
    assert pickup.messages[0].recipients == ["bob@posthouse.test"]

`answer` is asked for each message that is whole: a reply, or None to hang up without one.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from mta.ipc.messages import FRAME_LIMIT, PROTOCOL_VERSION, Begin, Committed, Message, More
from support.scripted_service import listen_ipc

__all__ = ["QUEUE_ID", "ReceivedMessage", "ScriptedPickup", "commit"]

QUEUE_ID = "0" * 21 + "z"
_Frame = tuple[int, int, Begin | More]


@dataclass
class ReceivedMessage:
    """What came of one message."""

    sender: str
    body_8bit: bool
    recipients: list[str] = field(default_factory=list)
    content: bytes = b""


Answer = Callable[[ReceivedMessage], Message | None]


def commit(_: ReceivedMessage) -> Message:
    """Take it."""
    return Committed(QUEUE_ID)


class ScriptedPickup:
    """Serves public/pickup of a queue directory while its context lasts.

    `greeting` is sent unasked to each of the first clients, one of them each.
    """

    def __init__(
        self, queue: Path, answer: Answer = commit, greetings: tuple[Message, ...] = ()
    ) -> None:
        self.messages: list[ReceivedMessage] = []
        self._answer = answer
        self._greetings = list(greetings)
        self._server = listen_ipc(queue, "public/pickup")
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):  # closed at the end
            while True:
                client, _ = self._server.accept()
                with client, suppress(OSError):
                    self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(10)
        if self._greetings:
            client.send(_frame(0, self._greetings.pop(0)))
            while client.recv(FRAME_LIMIT):  # what comes is not looked at
                pass
            return
        message: ReceivedMessage | None = None
        while data := client.recv(FRAME_LIMIT):
            _, number, body = msgspec.msgpack.decode(data, type=_Frame)
            if isinstance(body, Begin):
                message = ReceivedMessage(body.sender, body.body_8bit)
            assert message is not None
            message.recipients += [each.address for each in body.recipients]
            message.content += body.content
            if body.last:
                self.messages.append(message)
                reply = self._answer(message)
                if reply is None:
                    return
                client.send(_frame(number, reply))


def _frame(number: int, body: Message) -> bytes:
    return msgspec.msgpack.encode((PROTOCOL_VERSION, number, body))
