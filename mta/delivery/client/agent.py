"""The delivery agent for other hosts: requests in; destinations, hosts and sessions; outcomes out.

    generic        the addresses as other hosts are to see them, where that is set
    destinations   a nexthop becomes an itinerary, with what the resolver knows
    hosts          the itinerary: in which order, and which hosts are ourselves
    attempt        one request along the itinerary
    cache          the sessions that are kept for the next request
    session        one session with one host

The same for SMTP and for LMTP; what differs is said when it is made.
"""

import asyncio
import random
from collections.abc import Callable

from mta.config.parameters import Parameters
from mta.config.snapshot import Service, Snapshot
from mta.delivery.agent import DeliveryAgent, Result
from mta.delivery.client.attempt import Attempt, Means
from mta.delivery.client.cache import SessionCache
from mta.delivery.client.destinations import LMTP_PORT, Destinations
from mta.delivery.client.generic import Appearance, GenericMaps
from mta.delivery.client.hosts import HostOrder, Ourselves
from mta.delivery.client.session import ClientSession, Endpoint, Terms
from mta.delivery.content import ContentReader
from mta.ipc.messages import Deliver
from mta.ipc.resolver import ResolverClient
from mta.ipc.rewrite import RewriteClient
from mta.util.log import Log
from mta.util.routes import is_local_address

__all__ = ["RemoteAgent", "RemoteDelivery"]


class RemoteDelivery:
    """A deliverer: each request is an attempt of its own, all share the kept sessions."""

    def __init__(self, means: Means, generic: GenericMaps | None = None) -> None:
        self._means = means
        self._generic = generic

    async def __call__(self, request: Deliver, content: ContentReader) -> list[Result]:
        """Deliver to all recipients of a request."""
        if self._generic is None:
            appearance = Appearance({}, content)
        else:
            appearance = await self._generic.appearance(request, content)
        return await Attempt(request, appearance, self._means).run()


class RemoteAgent(DeliveryAgent):
    """Delivers over the network, and to UNIX sockets where `lmtp`, as one row wants it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        snapshot: Snapshot,
        parameters: Parameters,
        service: Service,
        log: Log,
        used: Callable[[], None],
        *,
        lmtp: bool,
    ) -> None:
        """`parameters` are those of the row `service`."""
        # A domain takes two look-ups, one after the other: MX, then addresses.
        patience = parameters.ipc_timeout + 2 * parameters.dns_timeout
        self._resolver = ResolverClient(loop, patience, log)
        self._rewrite = RewriteClient(loop, parameters.ipc_timeout, log)
        generic = None
        if parameters.smtp_generic_maps and not lmtp:
            generic = GenericMaps(self._rewrite, parameters.header_size_limit)
        self._cache = SessionCache(
            loop,
            time_limit=parameters.smtp_connection_cache_time_limit,
            reuse_limit=parameters.smtp_connection_reuse_time_limit,
            endpoint_limit=parameters.default_destination_concurrency_limit,
            # With the sessions at work they fit the descriptors that the sandbox allows.
            limit=max(1, service.client_limit // 2),
        )
        order = HostOrder(
            parameters.inet_protocols,
            parameters.smtp_address_preference,
            parameters.smtp_mx_address_limit,
            # An LMTP server at one of our addresses is a mail store of this host, and no loop.
            None if lmtp else Ourselves.of(snapshot, parameters, is_local_address),
            random.Random(),  # noqa: S311 - it shares out load
        )
        port = LMTP_PORT if lmtp else parameters.smtp_tcp_port
        destinations = Destinations(self._resolver, order, parameters.myhostname, port, lmtp=lmtp)
        terms = Terms.of(parameters, lmtp=lmtp)

        async def open_session(endpoint: Endpoint) -> ClientSession:
            return await ClientSession.open(loop, endpoint, terms)

        means = Means(
            find_hosts=destinations.find,
            open_session=open_session,
            cache=self._cache,
            fallbacks=() if lmtp else parameters.smtp_fallback_relay,
            session_limit=parameters.smtp_mx_session_limit,
            log=log,
        )
        super().__init__(service.name, log, used, RemoteDelivery(means, generic))

    async def stop(self) -> None:
        """End the kept sessions."""
        self._cache.close()
        self._resolver.close()
        self._rewrite.close()
