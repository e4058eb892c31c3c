"""Name servers as an operator writes them: ADDRESS, or [ADDRESS]:PORT.

A name server is an address: its name would have to be looked up first.
"""

import ipaddress
import re
from typing import Final

from msgspec import Struct

__all__ = ["DOMAIN_PORT", "NameServer", "parse_name_server"]

DOMAIN_PORT: Final = 53  # RFC 1035, 4.2

_WITH_PORT: Final = re.compile(r"\[([^\[\]]+)\]:([0-9]{1,5})", re.ASCII)


class NameServer(Struct, frozen=True):
    """Where a name server listens, over UDP and TCP; `address` is a literal without brackets."""

    address: str
    port: int = DOMAIN_PORT


def parse_name_server(text: str) -> NameServer:
    """Parse one name server; ValueError says what was expected and what was found."""
    address, port = text, DOMAIN_PORT
    if with_port := _WITH_PORT.fullmatch(text):
        address, port = with_port[1], int(with_port[2])
    if not 0 < port < 65536:
        raise ValueError(f"expected a port from 1 to 65535, got {text!r}")
    try:
        return NameServer(str(ipaddress.ip_address(address)), port)
    except ValueError:
        raise ValueError(f"expected ADDRESS or [ADDRESS]:PORT, got {text!r}") from None
