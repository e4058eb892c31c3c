"""Which addresses are this host's own: the kernel's routing table knows (rtnetlink(7)).

To bind a socket would tell as well, but for hosts with net.ipv4.ip_nonlocal_bind: there, every
address of the Internet can be bound.
"""

import ipaddress
import socket
import struct
from typing import Final

__all__ = ["IpAddress", "is_local_address"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NETLINK_ROUTE: Final = 0
_GET_ROUTE: Final = 26
_NEW_ROUTE: Final = 24
_REQUEST: Final = 1  # a flag of the request
_DESTINATION: Final = 1  # an attribute of it
_LOCAL: Final = 2  # a type of route: what is sent there stays here

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ROUTE: Final = struct.Struct("=8BI")  # family, lengths, ..., type (the eighth); flags
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_REPLY_LIMIT: Final = 8192  # octets


def is_local_address(address: IpAddress) -> bool:
    """Whether what is sent to the address arrives at this host; no, where the kernel cannot say."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = address.packed
    body = _ROUTE.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _DESTINATION) + packed
    request = _HEADER.pack(_HEADER.size + len(body), _GET_ROUTE, _REQUEST, 1, 0) + body
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as kernel:
            # The kernel answers within the call: nothing is ever waited for.
            kernel.setblocking(False)
            kernel.sendto(request, (0, 0))
            reply = kernel.recv(_REPLY_LIMIT)
    except OSError:
        return False
    if len(reply) < _HEADER.size + _ROUTE.size or _HEADER.unpack_from(reply)[1] != _NEW_ROUTE:
        return False  # there is no route, for instance
    route = _ROUTE.unpack_from(reply, _HEADER.size)
    return bool(route[7] == _LOCAL)
