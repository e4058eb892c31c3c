"""Destinations as an operator or a route writes them (transport(5)): text to parts.

    example.org            the mail hosts of a domain, by MX
    example.org:587        the same on another port
    [mail.example.org]     this host: its addresses, no MX
    [192.0.2.1]:2626       this address
    [2001:db8::1]  [IPv6:2001:db8::1]:25
    unix:/path/of/socket   a UNIX stream socket (LMTP)
    inet:host:port         a TCP address (LMTP), as [host]:port

A transport with its destination is `transport:nexthop`, or `transport` alone.
"""

import ipaddress
import re
from typing import Final

from msgspec import Struct

__all__ = ["Destination", "UnixDestination", "parse_nexthop", "split_transport"]

_TRANSPORT: Final = re.compile(r"([a-z][a-z0-9_-]{0,31})(?::(.*))?", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?\.?", re.ASCII)


class Destination(Struct, frozen=True):
    """A domain to be looked up by MX, or one host; `port` is 0 where none was given."""

    host: str  # a name in lower case without a final dot, or a literal address without brackets
    port: int = 0
    by_mx: bool = False

    @property
    def is_address(self) -> bool:
        """Whether no name has to be looked up."""
        return not self.by_mx and _address(self.host) is not None


class UnixDestination(Struct, frozen=True):
    """A UNIX stream socket."""

    path: str


def parse_nexthop(text: str) -> Destination | UnixDestination:
    """Parse one destination; ValueError says what was expected and what was found."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or "\0" in path:
            raise ValueError(f"expected unix:PATH, got {text!r}")
        return UnixDestination(path)
    if text.startswith("inet:"):
        host, _, port = text.removeprefix("inet:").rpartition(":")
        return _host(text, host.removeprefix("[").removesuffix("]"), _port(text, port))
    if text.startswith("["):
        inner, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"expected [HOST] or [HOST]:PORT, got {text!r}")
        return _host(text, inner, _port(text, rest[1:]) if rest else 0)
    name, colon, port = text.partition(":")
    if not _NAME.fullmatch(name):
        raise ValueError(f"expected DOMAIN, [HOST] or [HOST]:PORT, got {text!r}")
    domain = name.rstrip(".").lower()
    return Destination(domain, _port(text, port) if colon else 0, by_mx=True)


def split_transport(text: str) -> tuple[str, str]:
    """The transport and the nexthop, which may be empty; ValueError if it names no transport."""
    found = _TRANSPORT.fullmatch(text)
    if found is None:
        raise ValueError(f"expected TRANSPORT or TRANSPORT:NEXTHOP, got {text!r}")
    return found[1], found[2] or ""


def _host(text: str, host: str, port: int) -> Destination:
    address = _address(host[5:] if host[:5].lower() == "ipv6:" else host)
    if address is not None:
        return Destination(str(address), port)
    if not _NAME.fullmatch(host):
        raise ValueError(f"expected a host's name or address, got {text!r}")
    return Destination(host.rstrip(".").lower(), port)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _port(text: str, port: str) -> int:
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise ValueError(f"expected a port from 1 to 65535, got {text!r}")
    return int(port)
