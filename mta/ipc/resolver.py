"""Client of the resolver: the mail hosts of a domain, the addresses of a host.

The resolver keeps the one cache: an answer does not say how long it holds, so none is kept here.
"""

import asyncio

from mta.ipc.client import ServiceClient, Unavailable
from mta.ipc.messages import (
    FindAddresses,
    FindMailHosts,
    HostAddresses,
    MailHosts,
    ResolverReply,
)
from mta.util.log import Log

__all__ = ["ResolverClient"]


class ResolverClient:
    """Asks the resolver; what it refuses is raised as `MailError`.

    5xx when the DNS says that there is nothing, or that no mail is taken; 451 when it does not
    answer, or the resolver does not within `timeout` seconds. `FindMailHosts` has the codes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        log: Log,
        path: str = "private/resolver",
    ) -> None:
        self._service = ServiceClient[MailHosts | HostAddresses](
            path, ResolverReply, loop, timeout, log
        )

    async def mail_hosts(self, domain: str) -> MailHosts:
        """The hosts that take mail for a domain, the best first; at least one."""
        reply = await self._service.request(FindMailHosts(domain), idempotent=True)
        if not isinstance(reply, MailHosts):
            raise self._mismatch(reply)
        return reply

    async def addresses(self, name: str) -> HostAddresses:
        """The addresses of a host, at least one; a literal address has itself."""
        reply = await self._service.request(FindAddresses(name), idempotent=True)
        if not isinstance(reply, HostAddresses):
            raise self._mismatch(reply)
        return reply

    def close(self) -> None:
        """Close the connection."""
        self._service.close()

    def _mismatch(self, reply: MailHosts | HostAddresses) -> Unavailable:
        return Unavailable(f"{self._service.path}: {type(reply).__name__} is no answer to that")
