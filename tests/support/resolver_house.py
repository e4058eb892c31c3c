"""One real resolver process; its master and its client are played by the test."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from mta.ipc.messages import (
    FindAddresses,
    FindMailHosts,
    Goodbye,
    HostAddresses,
    MailHosts,
    Message,
    Refused,
    ResolverReply,
)
from support.daemon_house import DaemonHouse
from support.own_master import write_snapshot

__all__ = ["ResolverHouse", "shown"]

Heard = MailHosts | HostAddresses | Refused | Goodbye


class ResolverHouse(DaemonHouse):
    """Asks `servers`; `program` replaces the daemon's module."""

    service = "resolver"
    replies = ResolverReply

    def __init__(
        self,
        servers: Sequence[str],
        parameters: Mapping[str, object] | None = None,
        program: Sequence[str] = (),
    ) -> None:
        self._parameters = {"dns_servers": servers, **(parameters or {})}
        super().__init__(program)

    def write_snapshot(self, directory: Path) -> None:
        row = {"name": self.service, "daemon": self.service, "listen": [self.listener()]}
        write_snapshot(directory, row, parameters=self._parameters)

    def hear(self) -> Heard:
        """The next reply, whatever request it is for."""
        return self.hear_over(self._client)

    def hear_over(self, client: socket.socket) -> Heard:
        """The same for another client."""
        body: Heard = self.hear_any(client)
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
