"""From the hosts of a destination to the endpoints to try, in order (RFC 5321, 5.1).

The law: preference ascending; what is of equal preference is shuffled, so that its hosts share the
load; mail never goes to this host, nor to one that is no nearer to its destination.

    this host is                       then
    not among the hosts                all of them, in order
    among the best                     the mail loops: 554 5.4.6
    among worse ones                   those that are better; none found: 451 4.4.4

A host is ourselves if an address of it is one at which we listen for SMTP, on the same port; behind
a translation of addresses, one of proxy_interfaces; and where MX records name it, if its name is
myhostname. Pure: randomness and the kernel's knowledge of its addresses are arguments.
"""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from random import Random
from typing import Final, Literal

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.config.snapshot import Snapshot
from mta.delivery.client.session import Endpoint
from mta.ipc.messages import MailHost, MailHosts
from mta.proto.status import permanent, temporary
from mta.util.listen import InetAddress, parse_listen
from mta.util.routes import IpAddress

__all__ = ["HostOrder", "Itinerary", "Ourselves"]

_VERSIONS: Final = {"all": (4, 6), "ipv4": (4,), "ipv6": (6,)}
_LOOPBACK: Final[dict[int, IpAddress]] = {
    4: ipaddress.IPv4Address("127.0.0.1"),
    6: ipaddress.IPv6Address("::1"),
}


class Itinerary(Struct, frozen=True):
    """The endpoints to try, at least one; the first `best` of them share the best preference."""

    endpoints: tuple[Endpoint, ...]
    best: int
    backup: bool = False  # this host is one of the domain's, of worse preference


class Ourselves:
    """The places at which mail comes back to this host."""

    def __init__(
        self,
        hostname: str,
        listeners: Iterable[InetAddress],
        proxies: Iterable[str],
        smtp_port: int,
        is_local: Callable[[IpAddress], bool],
    ) -> None:
        """`is_local` tells whether an address is this host's, for listeners on all addresses.

        What a proxy passes on comes from its port `smtp_port`, or from the one that we listen at.
        """
        self.hostname = hostname
        self._places = [(ipaddress.ip_address(each.host), each.port) for each in listeners]
        self._proxies = frozenset(map(ipaddress.ip_address, proxies))
        self._proxy_ports = {smtp_port, *(port for _, port in self._places)}
        self._is_local = is_local

    @classmethod
    def of(
        cls, snapshot: Snapshot, parameters: Parameters, is_local: Callable[[IpAddress], bool]
    ) -> "Ourselves":
        """What the service table says of this host: the inet listeners of all smtpd rows."""
        rows = [row for row in snapshot.services if row.daemon == "smtpd"]
        addresses = [parse_listen(text) for row in rows for text in row.listen]
        return cls(
            parameters.myhostname,
            [address for address in addresses if isinstance(address, InetAddress)],
            parameters.proxy_interfaces,
            parameters.smtp_tcp_port,
            is_local,
        )

    def receive_at(self, address: IpAddress, port: int) -> bool:
        """Whether a connection to there would be one to ourselves."""
        if address in self._proxies and port in self._proxy_ports:
            return True
        if address.is_unspecified:  # for the kernel, a connection to itself
            address = _LOOPBACK[address.version]
        return any(
            place == address
            or (
                place.is_unspecified
                and place.version == address.version
                and self._is_local(address)
            )
            for place, listening in self._places
            if listening == port
        )


class HostOrder:
    """The order in which hosts are tried, as one configuration wants it."""

    def __init__(
        self,
        protocols: Literal["all", "ipv4", "ipv6"],
        preferred: Literal["any", "ipv4", "ipv6"],
        limit: int,
        ourselves: Ourselves | None,
        random: Random,
    ) -> None:
        """At most `limit` addresses are tried; without `ourselves` nothing loops."""
        self._protocols = protocols
        self._versions = _VERSIONS[protocols]
        self._first = {"any": 0, "ipv4": 4, "ipv6": 6}[preferred]
        self._limit = limit
        self._ourselves = ourselves
        self._random = random

    def arrange(self, destination: str, found: MailHosts, port: int, *, by_name: bool) -> Itinerary:
        """The endpoints of the hosts found; `by_name`: one named as this host is this host.

        MailError: 554 5.4.6 mail loops; 451 4.4.4 no host is left that could be connected to.
        """
        ordered = sorted(found.hosts, key=lambda host: host.preference)
        own = self._own_preference(ordered, port, by_name=by_name)
        if own is not None:
            if own == min(ordered[0].preference, found.left_out):
                permanent("5.4.6", f"mail for {destination} loops back to myself", code=554)
            ordered = [host for host in ordered if host.preference < own]
        seen: set[IpAddress] = set()
        groups = [
            self._group(members, port, seen)
            for _, members in groupby(ordered, lambda host: host.preference)
        ]
        endpoints = _cut([place for group in groups for place in group], self._limit)
        if not endpoints:
            if own is not None:
                temporary("4.4.4", f"unable to find primary relay for {destination}")
            temporary("4.4.4", f"{destination} has no {self._protocols} address")
        best = set(next(group for group in groups if group))
        count = sum(endpoint in best for endpoint in endpoints)
        return Itinerary(tuple(endpoints), count, own is not None)

    def _own_preference(
        self, ordered: Sequence[MailHost], port: int, *, by_name: bool
    ) -> int | None:
        """The preference of the best host that is ourselves; None if none is."""
        ourselves = self._ourselves
        if ourselves is None:
            return None
        for host in ordered:
            if by_name and host.name.lower() == ourselves.hostname:
                return host.preference
            if any(ourselves.receive_at(address, port) for address in _addresses(host)):
                return host.preference
        return None

    def _group(self, hosts: Iterable[MailHost], port: int, seen: set[IpAddress]) -> list[Endpoint]:
        """The endpoints of hosts of equal preference, but for addresses that were seen before."""
        places = {
            address: Endpoint(host.name, str(address), port)
            for host in hosts
            for address in _addresses(host)
            if address.version in self._versions and address not in seen
        }
        seen.update(places)
        addresses = list(places)
        self._random.shuffle(addresses)
        addresses.sort(key=lambda address: address.version != self._first)
        return [places[address] for address in addresses]


def _addresses(host: MailHost) -> list[IpAddress]:
    """The addresses of a host; what is none is left out, for they are the DNS's word."""
    addresses: list[IpAddress] = []
    for text in host.addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        mapped = address.ipv4_mapped if address.version == 6 else None  # RFC 4291, 2.5.5.2
        addresses.append(mapped or address)
    return addresses


def _cut(endpoints: list[Endpoint], limit: int) -> list[Endpoint]:
    """The first `limit`; but neither protocol crowds the other out, for one may not work here."""
    count = {True: 0, False: 0}
    for endpoint in endpoints:
        count[":" in endpoint.address] += 1
    room = {six: limit - min(count[not six], limit // 2) for six in count}
    chosen: list[Endpoint] = []
    for endpoint in endpoints:
        six = ":" in endpoint.address
        if room[six] and len(chosen) < limit:
            room[six] -= 1
            chosen.append(endpoint)
    return chosen
