"""One real mailuser process; its master and its clients are played by the test."""

import contextlib
import os
import pwd
import socket
import tempfile
from collections.abc import Iterator, Mapping
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
from mta.proto.status import Status
from support.folders import reachable_folder
from support.needs import missing
from support.own_master import DaemonProcess, write_snapshot
from support.scripted_service import listen_ipc
from support.users import new_user

__all__ = ["CONTENT", "Heard", "MailuserHouse", "Person", "person"]

LISTENER: Final = "ipc:private/mailuser"
CONTENT: Final = b"Subject: hello\r\n\r\nText\r\n"
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
        if request.descriptors:
            with tempfile.TemporaryFile() as file:
                file.write(content)
                file.flush()
                return self.send_file(request, file.fileno())
        self._number += 1
        self._client.send(encode(self._number, request))
        return self._number

    def send_file(self, request: Message, descriptor: int) -> int:
        """Ask with a file of the test's own; the number of the request."""
        self._number += 1
        socket.send_fds(self._client, [encode(self._number, request)], [descriptor])
        return self._number

    def hear(self) -> tuple[int, Heard]:
        """The next reply, and the number of the request that it is for."""
        try:
            data = self._client.recv(FRAME_LIMIT)
        except ConnectionResetError:
            # It ended with a request unread: the kernel says so once, before what it had sent.
            data = self._client.recv(FRAME_LIMIT)
        _, number, body = msgspec.msgpack.decode(data, type=tuple[int, int, MailuserReply])
        return number, body

    def ask(self, request: Message, content: bytes = CONTENT) -> Heard:
        """Ask, and wait for the reply."""
        number = self.send(request, content)
        heard, reply = self.hear()
        assert heard == number
        return reply

    def refusal(self, request: Message, content: bytes = CONTENT) -> Refused:
        """Ask for what is refused; another reply fails the test."""
        reply = self.ask(request, content)
        assert isinstance(reply, Refused), reply
        return reply

    def outcome(self, request: StoreMessage, content: bytes = CONTENT) -> Status:
        """The outcome of storing a message, whether it is there or not."""
        reply = self.ask(request, content)
        assert isinstance(reply, Stored | Refused), reply
        return reply.status

    def run(self, request: RunCommand, content: bytes = CONTENT) -> CommandEnded:
        """Run a command; a refusal fails the test."""
        reply = self.ask(request, content)
        assert isinstance(reply, CommandEnded), reply
        return reply

    def children(self) -> list[int]:
        """The processes of the requests in hand."""
        pid = self.daemon.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]


class Person:
    """A user whom mailuser serves, with a home; makes the requests that are the user's."""

    def __init__(self, entry: pwd.struct_passwd, home: Path) -> None:
        self.name, self.uid, self.gid = entry.pw_name, entry.pw_uid, entry.pw_gid
        self.home = home

    def write(self, name: str, content: bytes = b"", mode: int = 0o600) -> Path:
        """A file of the user's, below the home."""
        path = self.home / name
        path.write_bytes(content)
        path.chmod(mode)
        os.chown(path, self.uid, self.gid)
        return path

    def folder(self, name: str, mode: int = 0o755) -> Path:
        """A folder of the user's, below the home."""
        path = self.home / name
        path.mkdir()
        path.chmod(mode)
        os.chown(path, self.uid, self.gid)
        return path

    def read(self, path: Path | str, limit: int = 1000) -> ReadFile:
        """Ask for a file."""
        return ReadFile(self.name, str(path), limit)

    def store(
        self,
        path: Path | str,
        kind: MailboxKind = MailboxKind.MBOX,
        *,
        content: bytes = CONTENT,
        **fields: object,
    ) -> StoreMessage:
        """A message for a mailbox, under fcntl and a lock file; `fields` say otherwise."""
        usual: dict[str, object] = {
            "user": self.name,
            "kind": kind.value,
            "path": str(path),
            "sender": "alice@example.org",
            "prefix": b"Delivered-To: bob@example.net\n",
            "content_offset": 0,
            "content_length": len(content),
            "size_limit": 0,
            "locks": ("fcntl", "dotlock"),
        }
        return _made(StoreMessage, usual | fields)

    def run(self, *arguments: str, content: bytes = CONTENT, **fields: object) -> RunCommand:
        """A command in the home, without a shell, for 20 seconds; `fields` say otherwise."""
        usual: dict[str, object] = {
            "user": self.name,
            "arguments": arguments,
            "shell": False,
            "directory": str(self.home),
            "environment": (("PATH", "/usr/bin:/bin"), ("HOME", str(self.home))),
            "prefix": b"",
            "content_offset": 0,
            "content_length": len(content),
            "crlf": False,
            "seconds": 20.0,
        }
        return _made(RunCommand, usual | fields)


@contextlib.contextmanager
def person() -> Iterator[Person]:
    """A new user if we are root, who is served nowhere; otherwise ourselves, with another home."""
    with reachable_folder() as folder, contextlib.ExitStack() as stack:
        home = folder / "home"
        if missing("root"):
            home.mkdir()
            yield Person(pwd.getpwuid(os.getuid()), home)
        else:
            yield Person(stack.enter_context(new_user(home)), home)


def _made(kind: type[Request], fields: Mapping[str, object]) -> Request:
    """A message of these fields, its types checked, though it is an array on the wire."""
    items: list[object] = [kind.__struct_config__.tag]
    items += (fields[name] for name in kind.__struct_fields__)
    return msgspec.convert(items, kind)
