"""Which name servers are asked: dns_servers, else those of resolv.conf(5), else this host's own.

The file is read once in the life of a process; `ResolvConf` only notices that it has changed.
"""

import asyncio
import os
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.nameserver

from mta.util.log import Log
from mta.util.nameserver import NameServer

__all__ = ["RESOLV_CONF", "ResolvConf", "make_resolver"]

RESOLV_CONF: Final = "/etc/resolv.conf"
LOOK_TIME: Final = 5.0  # seconds between two looks at the file
TRY_TIME: Final = 2.0  # seconds that a server has before the next is asked; the file may say else
PAYLOAD: Final = 1232  # octets of an answer over UDP: what no path fragments (RFC 9715, 3)

_THIS_HOST: Final = NameServer("127.0.0.1")


class ResolvConf:
    """Tells when the file is no longer what it was at the beginning."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str = RESOLV_CONF) -> None:
        self.path = path
        self._loop = loop
        self._first = _stamp(path)
        self._looked = loop.time()

    def has_changed(self) -> bool:
        """Whether another file is there, or none; false between two looks."""
        if self._loop.time() < self._looked + LOOK_TIME:
            return False
        self._looked = self._loop.time()
        return _stamp(self.path) != self._first


def _stamp(path: str) -> tuple[int, ...]:
    """What changes with the file; empty if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def make_resolver(
    servers: list[NameServer], resolv_conf: str, log: Log
) -> dns.asyncresolver.Resolver:
    """A resolver that asks these servers, or those of the file when there are none."""
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.timeout = TRY_TIME
    if not servers:
        try:
            resolver.read_resolv_conf(resolv_conf)
        except (OSError, ValueError, dns.exception.DNSException) as error:
            # Without name servers the local one is asked: resolv.conf(5), nameserver.
            log.warning("resolv_conf", path=resolv_conf, reason=str(error))
            servers = [_THIS_HOST]
    if servers:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(server.address, server.port) for server in servers
        ]
    resolver.use_edns(0, 0, PAYLOAD)
    # AD in the question asks for AD in the answer (RFC 6840, 5.7), without the signatures.
    resolver.flags = dns.flags.RD | dns.flags.AD
    return resolver
