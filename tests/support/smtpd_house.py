"""One real smtpd process; its master, its rewrite and its cleanup are played by the test."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mta.config.snapshot import Snapshot
from mta.ipc.connection import MessageTypes, encode
from mta.ipc.messages import (
    FRAME_LIMIT,
    Begin,
    CleanupRequest,
    Committed,
    Message,
    More,
    Refused,
    RewriteRequest,
)
from mta.master.channel import Crossing
from mta.proto.envelope import Recipient
from mta.proto.status import MailError, Status
from support.address_rules import AddressRules
from support.dialogue import Dialogue
from support.own_master import DaemonProcess, write_snapshot

__all__ = ["Cleanup", "House", "Rewrite", "Submission", "open_house"]

DOMAIN = "posthouse.test"
QUEUE_IDS = [f"{number:022d}" for number in range(100)]


class Service:
    """A SEQPACKET service: a thread listens, and each connection has a thread of its own."""

    def __init__(self, path: Path, request_type: MessageTypes) -> None:
        self._request_type = request_type
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(path))
        self._socket.listen(64)
        self._path = path
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def serve(self, requests: Iterator[tuple[int, Any]], connection: socket.socket) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Be gone, with all connections."""
        self._path.unlink(missing_ok=True)
        for each in [self._socket, *self._connections]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self.serve(self._requests(connection), connection)

    def _requests(self, connection: socket.socket) -> Iterator[tuple[int, Any]]:
        while data := connection.recv(FRAME_LIMIT):
            version, number, body = msgspec.msgpack.decode(data, type=tuple[int, int, msgspec.Raw])
            assert version == 1
            yield number, msgspec.msgpack.decode(body, type=self._request_type)


class Rewrite(Service):
    """The real routing decisions; `open` is cleared to let everybody wait."""

    def __init__(self, path: Path, snapshot: Snapshot) -> None:
        self.open = threading.Event()
        self.open.set()
        self._rules = AddressRules(snapshot.parameters)
        super().__init__(path, RewriteRequest)

    def serve(self, requests: Iterator[tuple[int, Any]], connection: socket.socket) -> None:
        for number, request in requests:
            self.open.wait()
            try:
                reply: Message = self._rules.answer(request)
            except MailError as error:
                reply = Refused(error.status, error.reason)
            connection.send(encode(number, reply))


@dataclass
class Submission:
    """What one conversation brought."""

    begin: Begin
    recipients: list[Recipient] = field(default_factory=list)
    content: bytes = b""
    complete: bool = False
    abandoned: bool = False  # the connection ended before the end of the message


class Cleanup(Service):
    """Commits to memory; `reading` and `committing` are cleared to let smtpd wait."""

    def __init__(self, path: Path) -> None:
        self.submissions: list[Submission] = []
        self.refusal: Status | None = None
        self.reading = threading.Event()
        self.committing = threading.Event()
        self.reading.set()
        self.committing.set()
        super().__init__(path, CleanupRequest)

    def serve(self, requests: Iterator[tuple[int, Any]], connection: socket.socket) -> None:
        submission: Submission | None = None
        for number, frame in requests:
            if isinstance(frame, Begin):
                submission = Submission(frame)
                self.submissions.append(submission)
            assert submission is not None
            self._take(submission, frame)
            if frame.last:
                connection.send(encode(number, self._verdict(submission)))
            self.reading.wait()
        if submission is not None:
            submission.abandoned = not submission.complete

    def _take(self, submission: Submission, frame: Begin | More) -> None:
        submission.recipients += frame.recipients
        submission.content += frame.content
        submission.complete = frame.last

    def _verdict(self, submission: Submission) -> Message:
        self.committing.wait()
        if self.refusal is not None:
            return Refused(self.refusal, "the test wants it")
        return Committed(QUEUE_IDS[self.submissions.index(submission)])


@dataclass
class House:
    """smtpd and its neighbours."""

    daemon: DaemonProcess
    rewrite: Rewrite
    cleanup: Cleanup
    port: int
    host: str

    def client(self, timeout: float = 10.0) -> Dialogue:
        """Connect; the greeting is not read yet."""
        return Dialogue(self.host, self.port, timeout)

    def logged(self, event: str) -> list[dict[str, Any]]:
        return self.daemon.events(event)


@contextlib.contextmanager
def open_house(directory: Path, host: str = "127.0.0.1", **parameters: object) -> Iterator[House]:
    """Start all three, with these parameters."""
    (directory / "private").mkdir()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    settings: Mapping[str, object] = {"virtual_mailbox_domains": [DOMAIN], **parameters}
    row = {"name": "smtp", "daemon": "smtpd", "client_limit": 100}
    snapshot = write_snapshot(directory, row, parameters=settings)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), family=family))
        port: int = listener.getsockname()[1]
        rewrite = Rewrite(directory / "private/rewrite", snapshot)
        stack.callback(rewrite.close)
        cleanup = Cleanup(directory / "private/cleanup")
        stack.callback(cleanup.close)
        name = f"inet:[{host}]:{port}" if ":" in host else f"inet:{host}:{port}"
        daemon = DaemonProcess(
            ["-m", "mta.daemons.smtpd"], directory, [(name, listener.fileno())], service="smtp"
        )
        stack.enter_context(daemon)
        assert daemon.hear() == Crossing("free")
        yield House(daemon, rewrite, cleanup, port, host)
