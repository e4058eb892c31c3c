"""A nexthop, as the route names it, becomes an itinerary.

    nexthop                     smtp                          lmtp
    DOMAIN  DOMAIN:PORT         the domain's mail hosts       the host of that name
    [HOST]  inet:HOST:PORT      the host's addresses          the same
    [ADDRESS]                   this address                  the same
    unix:PATH                   none                          this socket

The port is smtp_tcp_port, or 24 for LMTP (which has no MX: RFC 2033, 5), unless one is named.
"""

from typing import Final, Protocol

from mta.delivery.client.hosts import HostOrder, Itinerary
from mta.delivery.client.session import Endpoint
from mta.ipc.messages import HostAddresses, MailHost, MailHosts
from mta.proto.nexthop import UnixDestination, parse_nexthop
from mta.proto.status import permanent

__all__ = ["LMTP_PORT", "Destinations", "Resolver"]

LMTP_PORT: Final = 24  # RFC 2033 names no port; this is "private mail system", Postfix's default


class Resolver(Protocol):
    """What is asked of the resolver's client; both raise what it refuses as `MailError`."""

    async def mail_hosts(self, domain: str) -> MailHosts:
        """The hosts that take mail for a domain."""

    async def addresses(self, name: str) -> HostAddresses:
        """The addresses of a host."""


class Destinations:
    """Finds the endpoints of a nexthop."""

    def __init__(
        self, resolver: Resolver, order: HostOrder, hostname: str, port: int, *, lmtp: bool
    ) -> None:
        """`port` is the one of nexthops that name none; `hostname` is that of UNIX sockets."""
        self._resolver = resolver
        self._order = order
        self._hostname = hostname
        self._port = port
        self._lmtp = lmtp

    async def find(self, nexthop: str) -> Itinerary:
        """The endpoints to try. MailError says that there are none: for now, or for good."""
        try:
            destination = parse_nexthop(nexthop)
        except ValueError as error:
            permanent("5.1.2", f"bad destination: {nexthop}", str(error))
        if isinstance(destination, UnixDestination):
            if not self._lmtp:
                permanent("5.1.2", f"bad destination: {nexthop}", "UNIX sockets are for LMTP")
            return Itinerary((Endpoint(self._hostname, destination.path, 0),), best=1)
        name, port = destination.host, destination.port or self._port
        if destination.by_mx and not self._lmtp:
            found = await self._resolver.mail_hosts(name)
            # At a port that the nexthop names, this host may well have another server.
            by_name = not destination.port
            return self._order.arrange(name, found, port, by_name=by_name)
        if destination.is_address:
            addresses: tuple[str, ...] = (name,)
        else:
            addresses = (await self._resolver.addresses(name)).addresses
        itself = MailHosts((MailHost(0, name, addresses),), implicit=True)
        return self._order.arrange(name, itself, port, by_name=False)
