"""Who may send what where: no relaying for strangers.

domain class   transport   client in mynetworks   others
VIRTUAL        any         yes                    yes
RELAY          a row       yes                    yes
RELAY          none        no                     no
DEFAULT        a row       yes                    no
DEFAULT        none        no                     no
"""

import functools
import ipaddress
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from mta.daemons.smtpd import replies
from mta.ipc.messages import DomainClass, Resolved
from mta.proto.status import MailError

__all__ = ["Client", "Networks", "check_relay"]

CLIENTS_REMEMBERED: Final = 1000  # addresses


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
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]
        # Each recipient asks, and clients come again: parsing an address is most of the work.
        self._have = functools.lru_cache(maxsize=CLIENTS_REMEMBERED)(self._look_up)

    def __contains__(self, client: Client) -> bool:
        return self._have(client.address)

    def _look_up(self, text: str) -> bool:
        if not text:
            return False
        address = ipaddress.ip_address(text)
        return any(address in network for network in self._networks)


def check_relay(resolved: Resolved, original: str, *, trusted: bool) -> None:
    """Whether mail may go there; MailError if not. `trusted` is a client in mynetworks."""
    if resolved.domain_class is DomainClass.VIRTUAL:
        return
    if not (resolved.transport and (trusted or resolved.domain_class is DomainClass.RELAY)):
        raise MailError(replies.relay_denied(original))
