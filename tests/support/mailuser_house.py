"""One real mailuser process; its master and its clients are played by the test."""

import os
import pwd
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from mta.ipc.connection import encode
from mta.ipc.messages import (
    FRAME_LIMIT,
    CommandEnded,
    FileRead,
    Goodbye,
    MailboxKind,
    MailuserReply,
    Message,
    ReadFile,
    Refused,
    RunCommand,
    Stored,
    StoreMessage,
)
from mta.master.channel import Crossing
from support.own_master import DaemonProcess, write_snapshot
from support.scripted_service import listen_ipc

__all__ = ["CONTENT", "ME", "MailuserHouse", "run_request", "store_request"]

LISTENER: Final = "ipc:private/mailuser"
CONTENT: Final = b"Subject: hello\r\n\r\nText\r\n"
ME: Final = pwd.getpwuid(os.getuid()).pw_name
Request = TypeVar("Request", RunCommand, StoreMessage)
Heard = FileRead | Stored | CommandEnded | Refused | Goodbye


class MailuserHouse:
    """A row `mailuser` with these fields; the folder is open to all, as a queue directory is."""

    def __init__(self, row: Mapping[str, object] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mta-", dir="/tmp")
        self.directory = Path(self._folder.name)
        self.directory.chmod(0o755)
        basis = {"name": "mailuser", "daemon": "mailuser", "listen": [LISTENER], "client_limit": 40}
        write_snapshot(self.directory, {**basis, **(row or {})})
        self._listener = listen_ipc(self.directory, "private/mailuser")
        self.daemon = DaemonProcess(
            ["-m", "mta.daemons.mailuser"],
            self.directory,
            [(LISTENER, self._listener.fileno())],
            service="mailuser",
        )
        self.daemon.hear_until(Crossing("free"))
        self._client = self.new_client()
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()
        self.daemon.__exit__(kind, error, trace)
        self._listener.close()
        self._folder.cleanup()

    def new_client(self) -> socket.socket:
        """A connection of its own."""
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(30)
        client.connect(self._listener.getsockname())
        return client

    def send(self, request: Message, content: bytes = CONTENT) -> int:
        """Ask without waiting for the reply; the number of the request."""
        self._number += 1
        frame = encode(self._number, request)
        if not request.descriptors:
            self._client.send(frame)
            return self._number
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            socket.send_fds(self._client, [frame], [file.fileno()])
        return self._number

    def hear(self) -> tuple[int, Heard]:
        """The next reply, and the number of the request that it is for."""
        data = self._client.recv(FRAME_LIMIT)
        _, number, body = msgspec.msgpack.decode(data, type=tuple[int, int, MailuserReply])
        return number, body

    def ask(self, request: Message, content: bytes = CONTENT) -> Heard:
        """Ask, and wait for the reply."""
        number = self.send(request, content)
        heard, reply = self.hear()
        assert heard == number
        return reply

    def read(self, path: Path, user: str = ME, limit: int = 1000) -> Heard:
        """Read a file of a user's."""
        return self.ask(ReadFile(user, str(path), limit))

    def refusal(self, request: Message, content: bytes = CONTENT) -> Refused:
        """Ask for what is refused; another reply fails the test."""
        reply = self.ask(request, content)
        assert isinstance(reply, Refused), reply
        return reply

    def run(self, *arguments: str, content: bytes = CONTENT, **fields: object) -> CommandEnded:
        """Run a command; a refusal fails the test."""
        reply = self.ask(run_request(*arguments, content=content, **fields), content)
        assert isinstance(reply, CommandEnded), reply
        return reply


def _made(kind: type[Request], fields: Mapping[str, object]) -> Request:
    """A message of these fields, its types checked, though it is an array on the wire."""
    items: list[object] = [kind.__struct_config__.tag]
    items += (fields[name] for name in kind.__struct_fields__)
    return msgspec.convert(items, kind)


def run_request(*arguments: str, content: bytes = CONTENT, **fields: object) -> RunCommand:
    """A command of ours in /, without a shell, for 20 seconds; `fields` say otherwise."""
    usual: dict[str, object] = {
        "user": ME,
        "arguments": arguments,
        "shell": False,
        "directory": "/",
        "environment": (("PATH", "/usr/bin:/bin"),),
        "prefix": b"",
        "content_offset": 0,
        "content_length": len(content),
        "crlf": False,
        "seconds": 20.0,
    }
    return _made(RunCommand, usual | fields)


def store_request(
    path: Path | str,
    kind: MailboxKind = MailboxKind.MBOX,
    *,
    content: bytes = CONTENT,
    **fields: object,
) -> StoreMessage:
    """A message for a mailbox of ours, under fcntl and a lock file; `fields` say otherwise."""
    usual: dict[str, object] = {
        "user": ME,
        "kind": kind,
        "path": str(path),
        "sender": "alice@example.org",
        "prefix": b"Delivered-To: bob@example.net\n",
        "content_offset": 0,
        "content_length": len(content),
        "size_limit": 0,
        "locks": ("fcntl", "dotlock"),
    }
    return _made(StoreMessage, usual | fields)
