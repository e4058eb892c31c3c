"""One real resolver process; its master and its client are played by the test."""

import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from mta.ipc.connection import encode
from mta.ipc.messages import (
    FRAME_LIMIT,
    FindAddresses,
    FindMailHosts,
    Goodbye,
    HostAddresses,
    MailHosts,
    Message,
    Refused,
    ResolverReply,
)
from mta.master.channel import Crossing
from support.own_master import DaemonProcess, write_snapshot
from support.scripted_service import listen_ipc

__all__ = ["ResolverHouse", "shown"]

LISTENER = "ipc:private/resolver"
Heard = MailHosts | HostAddresses | Refused | Goodbye


class ResolverHouse:
    """Asks `servers`; `program` replaces the daemon's module."""

    def __init__(
        self,
        servers: Sequence[str],
        parameters: Mapping[str, object] | None = None,
        program: Sequence[str] = ("-m", "mta.daemons.resolver"),
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mta-", dir="/tmp")
        directory = Path(self._folder.name)
        write_snapshot(
            directory,
            {"name": "resolver", "daemon": "resolver", "listen": [LISTENER]},
            parameters={"dns_servers": servers, **(parameters or {})},
        )
        self._listener = listen_ipc(directory, "private/resolver")
        self.daemon = DaemonProcess(
            program, directory, [(LISTENER, self._listener.fileno())], service="resolver"
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

    def hear(self) -> Heard:
        """The next reply, whatever request it is for."""
        return self.hear_over(self._client)

    def hear_over(self, client: socket.socket) -> Heard:
        """The same for another client."""
        data = client.recv(FRAME_LIMIT)
        _, _, body = msgspec.msgpack.decode(data, type=tuple[int, int, ResolverReply])
        return body

    def ask(self, request: Message) -> Heard:
        self.send(request)
        return self.hear()

    def mail_hosts(self, domain: str) -> Heard:
        return self.ask(FindMailHosts(domain))

    def addresses(self, name: str) -> Heard:
        return self.ask(FindAddresses(name))


def shown(reply: Heard) -> list[str]:
    """A reply as a test reads it: hosts with preference and addresses, addresses, or a status."""
    match reply:
        case MailHosts():
            return [
                f"{host.preference} {host.name} {' '.join(host.addresses)}" for host in reply.hosts
            ]
        case HostAddresses():
            return list(reply.addresses)
        case Refused():
            return [str(reply.status)]
        case Goodbye():
            return [f"goodbye {reply.last}"]
