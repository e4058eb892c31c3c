"""Who may send mail where: no relaying for strangers.

    destination     transport   client in mynetworks   others
    ours            any         yes                    yes
    anybody's       a row       yes                    no
    anybody's       none        no                     no

smtpd decides by this, and `mta check` proves by it that a configuration relays for strangers.
"""

import functools
import ipaddress
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from mta.proto.status import Status

__all__ = ["Client", "Network", "Networks", "parse_network", "refusal"]

CLIENTS_REMEMBERED: Final = 1000  # addresses
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291, 2.5.5.2

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Client(Struct, frozen=True):
    """The other end of a connection: a literal address without brackets, or "" for no network."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address else "local"

    @classmethod
    def from_peer(cls, peer: object) -> "Client":
        """The client by what getpeername(2) says."""
        match peer:
            case (str(host), int(port), *_):
                # One client is one client on IPv4 and on dual-stack listeners (RFC 4291, 2.5.5.2).
                return cls(host.partition("%")[0].removeprefix("::ffff:"), port)
            case _:
                return cls("", 0)


class Networks:
    """A set of networks in CIDR notation, such as mynetworks."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [parse_network(network) for network in networks]
        # Each recipient asks, and clients come again: parsing an address is most of the work.
        self._have = functools.lru_cache(maxsize=CLIENTS_REMEMBERED)(self._look_up)

    def __contains__(self, client: Client) -> bool:
        return self._have(client.address)

    def _look_up(self, text: str) -> bool:
        if not text:
            return False
        address = ipaddress.ip_address(text)
        return any(address in network for network in self._networks)


def parse_network(text: str) -> Network:
    """A network in CIDR notation; one of IPv4-mapped addresses is the IPv4 network, as clients are.

    ValueError if it is none.
    """
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None, "all addresses of that network are"
        return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED.prefixlen))
    return network


def refusal(original: str, *, ours: bool, trusted: bool, transport: str) -> Status | None:
    """What a client hears that may not send to the address, or nothing.

    `ours` are destinations that this host answers for, `trusted` is a client in mynetworks, and an
    empty `transport` carries nothing.
    """
    if ours or (trusted and transport):
        return None
    return Status(554, "5.7.1", f"<{original}>: Relay access denied")
