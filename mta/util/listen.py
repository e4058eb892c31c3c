"""Listen addresses of the service table, `KIND:WHERE`, parsed in one place.

    inet:HOST:PORT   a TCP listener; IPv6 addresses in brackets, HOST a literal address
    unix:PATH        a UNIX stream listener, PATH relative to the queue directory
    ipc:PATH         a UNIX SEQPACKET listener: the daemons' own protocol
    pipe:NAME        the reading end of a pipe that the master keeps (the log)

Standard library only, and named tuples, for the reasons that mta.master.channel has.
"""

import ipaddress
import re
from typing import Literal, NamedTuple

__all__ = ["InetAddress", "ListenAddress", "PipeAddress", "SocketPath", "parse_listen"]

# Two levels at most and no dot at the front: nothing outside the queue directory can be named.
_PATH = re.compile(r"\A(?:public|private)/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}\Z")
_NAME = re.compile(r"\A[a-z][a-z0-9_-]{0,31}\Z")


class InetAddress(NamedTuple):
    """A TCP address; `host` is a literal IPv4 or IPv6 address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return (
            f"inet:[{self.host}]:{self.port}"
            if ":" in self.host
            else f"inet:{self.host}:{self.port}"
        )


class SocketPath(NamedTuple):
    """A UNIX-domain socket, named relative to the queue directory."""

    kind: Literal["unix", "ipc"]
    path: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


class PipeAddress(NamedTuple):
    """A pipe: its reader is the row that lists it, its writers are all daemons."""

    name: str

    def __str__(self) -> str:
        return f"pipe:{self.name}"


ListenAddress = InetAddress | SocketPath | PipeAddress


def parse_listen(text: str) -> ListenAddress:
    """Parse one listen address; ValueError says what was expected and what was found."""
    kind, _, where = text.partition(":")
    if kind == "inet":
        host, _, port = where.rpartition(":")
        try:
            if host.startswith("[") and host.endswith("]"):
                host = str(ipaddress.IPv6Address(host[1:-1]))
            else:
                host = str(ipaddress.IPv4Address(host))
        except ipaddress.AddressValueError as error:
            raise ValueError(f"expected a literal IPv4 or [IPv6] address, got {host!r}") from error
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"expected a port from 1 to 65535, got {port!r}")
        return InetAddress(host, int(port))
    if kind == "unix" or kind == "ipc":
        if not _PATH.match(where):
            raise ValueError(f"expected public/NAME or private/NAME, got {where!r}")
        return SocketPath("unix" if kind == "unix" else "ipc", where)
    if kind == "pipe":
        if not _NAME.match(where):
            raise ValueError(f"expected a short lower-case name, got {where!r}")
        return PipeAddress(where)
    raise ValueError(f"expected inet:HOST:PORT, unix:PATH, ipc:PATH or pipe:NAME, got {text!r}")
