"""One real daemon that is asked over a socket; its master and clients are played by the test."""

import socket
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, ClassVar, Self

import msgspec

from mta.ipc.connection import encode
from mta.ipc.messages import FRAME_LIMIT, Message
from mta.master.channel import Crossing
from support.own_master import DaemonProcess
from support.scripted_service import listen_ipc

__all__ = ["DaemonHouse"]


class DaemonHouse:
    """The daemon of a row `service`; subclasses write its snapshot, and say what it replies."""

    service: ClassVar[str]
    replies: ClassVar[Any]  # the union of the service's replies

    def __init__(self, program: Sequence[str] = ()) -> None:
        """`program` replaces the daemon's module."""
        self._folder = TemporaryDirectory(prefix="mta-", dir="/tmp")
        directory = Path(self._folder.name)
        self.write_snapshot(directory)
        self._listener = listen_ipc(directory, self.listener().removeprefix("ipc:"))
        self.daemon = DaemonProcess(
            program or ("-m", f"mta.daemons.{self.service}"),
            directory,
            [(self.listener(), self._listener.fileno())],
            service=self.service,
        )
        self.daemon.hear_until(Crossing("free"))
        self._client = self.new_client()
        self._number = 0

    @classmethod
    def listener(cls) -> str:
        """The address of the row."""
        return f"ipc:private/{cls.service}"

    def write_snapshot(self, directory: Path) -> None:
        """Write the configuration that the daemon has."""
        raise NotImplementedError

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
        client.settimeout(10)
        client.connect(self._listener.getsockname())
        return client

    def send(self, *requests: Message) -> None:
        """Ask without waiting for replies."""
        for request in requests:
            self.send_over(self._client, request)

    def send_over(self, client: socket.socket, request: Message) -> None:
        """The same for another client."""
        self._number += 1
        client.send(encode(self._number, request))

    def hear_any(self, client: socket.socket | None = None) -> Any:  # noqa: ANN401 - see `replies`
        """The next reply, whatever request it is for."""
        data = (client or self._client).recv(FRAME_LIMIT)
        _, _, body = msgspec.msgpack.decode(data, type=tuple[int, int, self.replies])  # type: ignore[name-defined]
        return body
