"""How many of the Internet's addresses some networks hold, and which would be a stranger's."""

import ipaddress
from collections.abc import Iterable
from typing import Final, TypeVar

from msgspec import Struct

from mta.proto.relay import parse_network

__all__ = ["Share", "shares"]

# What no stranger can have (RFC 6890 and its registry): not global, not unicast, or documentation.
_SPECIAL_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        ),
    )
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)

_Net = TypeVar("_Net", ipaddress.IPv4Network, ipaddress.IPv6Network)


class Share(Struct, frozen=True):
    """The public addresses that networks hold in one family, and the first of them."""

    version: int
    addresses: int
    first: str

    @property
    def prefix(self) -> int:
        """The length of the prefix of a network of at least that size."""
        return (32 if self.version == 4 else 128) - max(self.addresses - 1, 0).bit_length()


def shares(networks: Iterable[str]) -> tuple[Share, ...]:
    """What the networks hold of each family, if anything; ValueError if one is none."""
    parsed = [parse_network(text) for text in networks]
    v4 = [net for net in parsed if isinstance(net, ipaddress.IPv4Network)]
    v6 = [net for net in parsed if isinstance(net, ipaddress.IPv6Network)]
    public_v6 = [_within(net, _GLOBAL_V6) for net in v6 if net.overlaps(_GLOBAL_V6)]
    found = (_share(4, v4, _SPECIAL_V4), _share(6, public_v6, _SPECIAL_V6))
    return tuple(share for share in found if share.addresses)


def _share(version: int, networks: list[_Net], special: tuple[_Net, ...]) -> Share:
    count, first = 0, ""
    for network in ipaddress.collapse_addresses(networks):
        excluded = [net for net in special if net.overlaps(network)]
        public = network.num_addresses - sum(
            _within(net, network).num_addresses for net in excluded
        )
        count += public
        if public and not first:
            first = _first(network, excluded)
    return Share(version, count, first)


def _first(network: _Net, excluded: list[_Net]) -> str:
    """The first host's address in the network that none of the excluded networks has."""
    address = network[1] if network.num_addresses > 1 else network[0]
    for net in sorted(excluded):
        if address in net:
            address = net.broadcast_address + 2  # the first host of what follows
    return str(address)


def _within(inner: _Net, outer: _Net) -> _Net:
    """The smaller of two networks that overlap: one of two such always holds the other."""
    return max(inner, outer, key=lambda network: network.prefixlen)
