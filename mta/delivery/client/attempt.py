"""One delivery request, from its destination to a result for each recipient.

The law: hosts are tried in order until no recipient is left; a recipient is left as long as another
host may do better, and the last word on it stands. An answer that nobody heard is no reason to ask
another host: the mail may have been taken.

    what happened                          then, for the recipients concerned
    2xx or 5xx to the recipient            that is the result
    4xx, or the session broke off          the next host, then the fallback relays
    no session: for now                    the next host, then the fallback relays
    no session: 5xx greeting               the next host; no fallback relay
    the destination is not found           the fallback relays, or bounced
    the DNS does not answer                the fallback relays, or deferred
    no mail is taken (null MX); it loops   bounced

A destination that the configuration names (relayhost, a transport's nexthop, a fallback relay) and
that fails for good is a mistake to be mended: its mail waits, as in Postfix (451 4.3.5). Where this
host is a worse mail host of the domain, fallback relays are not used, for they would send the mail
back (Postfix does the same). Deviation: Postfix tries fallback relays for a domain with a null MX.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from mta.delivery.agent import Result
from mta.delivery.client.cache import CachedSession, SessionCache
from mta.delivery.client.generic import Appearance
from mta.delivery.client.hosts import Itinerary
from mta.delivery.client.session import Endpoint, Mail, SessionFailed, Verdict
from mta.ipc.client import Unavailable
from mta.ipc.messages import Deliver, DeliverRecipient
from mta.proto.status import INTERNAL_ERROR, MailError, Status
from mta.util.log import Log

__all__ = ["Attempt", "FindHosts", "Means", "OpenSession"]

FindHosts = Callable[[str], Awaitable[Itinerary]]
OpenSession = Callable[[Endpoint], Awaitable[CachedSession]]

_NO_HOST: Final = "none"  # the relay where no host was tried
# What the resolver refuses as not found, see FindMailHosts: another way may lead there.
_NOT_FOUND: Final = frozenset({"5.1.2", "5.4.4"})


class Means(Struct, frozen=True, kw_only=True):
    """What all attempts of a row share."""

    find_hosts: FindHosts
    open_session: OpenSession
    cache: SessionCache
    fallbacks: Sequence[str]  # destinations to be tried when the proper one fails, in this order
    session_limit: int  # sessions that are begun for each destination
    log: Log


class Attempt:
    """The recipients of one request that are left, and what was said of each."""

    def __init__(self, request: Deliver, appearance: Appearance, means: Means) -> None:
        self._request = request
        self._appearance = appearance
        self._means = means
        self._left: list[DeliverRecipient] = list(request.recipients)
        self._results: dict[int, Result] = {}
        self._destination = ""
        self._is_fallback = False  # the destination is a fallback relay
        self._reached = False  # some host began a session
        self._unreachable = False  # a host, or the DNS, failed so that any message would fail

    async def run(self) -> list[Result]:
        """Try the request's destination, then the fallback relays, as long as it makes sense.

        The results are of those that were tried; what some host has taken is always told.
        """
        try:
            await self._try_destination(self._request.nexthop)
            self._is_fallback = True
            for fallback in self._means.fallbacks:
                if self._left:
                    await self._try_destination(fallback)
        except Exception as error:  # noqa: BLE001 - the rest waits; what was delivered stays so
            self._give_up(error)
        results = list(self._results.values())
        if self._unreachable and not self._reached:
            return [replace(each, unreachable=True) for each in results]
        return results

    def _give_up(self, error: Exception) -> None:
        """End with those that are left: the queue file failed, or what nobody foresaw."""
        if isinstance(error, MailError):
            self._fail(error.status, _NO_HOST, error.reason, final=True)
        else:
            self._means.log.failure("internal_error", error, queue_id=self._request.queue_id)
            self._fail(INTERNAL_ERROR, _NO_HOST, final=True)

    # Destinations

    async def _try_destination(self, nexthop: str) -> None:
        self._destination = nexthop
        cache = self._means.cache
        tried = None
        sessions = 0
        kept = cache.take(nexthop)
        if kept is not None:
            tried = kept.endpoint
            sessions += await self._try_host(tried, nexthop, kept)
        if not self._left:
            return
        try:
            itinerary = await self._means.find_hosts(nexthop)
        except MailError as error:
            self._not_found(error)
            return
        best = itinerary.endpoints[: itinerary.best]
        for endpoint in self._order(itinerary):
            if endpoint == tried:
                continue
            if not self._left or sessions >= self._means.session_limit:
                break
            kept = cache.take_at(endpoint)
            # Later messages begin with the best hosts again, not where this one ended.
            name = nexthop if endpoint in best else ""
            sessions += await self._try_host(endpoint, name, kept)
        if itinerary.backup:
            self._left = []
        # What is left and permanent: no host wanted to talk to us at all.
        self._left = [each for each in self._left if not self._is_refused(each)]

    def _order(self, itinerary: Itinerary) -> list[Endpoint]:
        """The hosts in order; of the best ones, first those with which there is a session."""
        cache = self._means.cache
        best = sorted(itinerary.endpoints[: itinerary.best], key=lambda each: not cache.holds(each))
        return [*best, *itinerary.endpoints[itinerary.best :]]

    def _not_found(self, error: MailError) -> None:
        status = error.status
        if status.is_temporary and not isinstance(error, Unavailable):
            self._unreachable = True
        final = status.is_permanent and status.enhanced not in _NOT_FOUND
        self._fail(status, _NO_HOST, error.reason, final=final)

    # Hosts

    async def _try_host(
        self, endpoint: Endpoint, nexthop: str, session: CachedSession | None
    ) -> bool:
        """Try one host, in a kept session if there is one; whether a session with it began."""
        if session is not None:
            verdicts = await self._transact(session, nexthop)
            # The server hung up while the session was kept: that says nothing of this message.
            if not session.lost_at_first:
                self._settle(endpoint, verdicts)
                return True
        try:
            session = await self._means.open_session(endpoint)
        except SessionFailed as failure:
            self._unreachable = True
            self._fail(failure.status, str(endpoint), final=not failure.elsewhere)
            return False
        if session.tls:
            self._means.log.info(
                "tls", queue_id=self._request.queue_id, relay=str(endpoint), tls=session.tls
            )
        self._settle(endpoint, await self._transact(session, nexthop))
        return True

    async def _transact(self, session: CachedSession, nexthop: str) -> list[Verdict]:
        """Offer the message for all that are left, and put the session back."""
        seen = self._appearance
        mail = Mail(
            seen.of(self._request.sender),
            tuple([seen.of(each.address) for each in self._left]),
            self._request.body_8bit,
            seen.content,
        )
        try:
            verdicts = await session.deliver(mail)
        except BaseException:
            session.close()
            raise
        self._means.cache.put(session, nexthop)
        return verdicts

    def _settle(self, endpoint: Endpoint, verdicts: list[Verdict]) -> None:
        self._reached = True
        relay = str(endpoint)
        left = []
        for recipient, verdict in zip(self._left, verdicts, strict=True):
            self._results[recipient.index] = Result(recipient.index, verdict.status, relay)
            if verdict.elsewhere:
                left.append(recipient)
        self._left = left

    def _fail(self, status: Status, relay: str, reason: str = "", *, final: bool) -> None:
        """Say the same of all that are left."""
        if status.is_permanent and self._is_configured():
            reason = f"{self._destination} is named by the configuration: {status.code} {reason}"
            status = Status(451, "4.3.5", status.text)
        for recipient in self._left:
            before = self._results.get(recipient.index)
            # A host that refuses to talk does not outweigh one that may come back.
            if not status.is_permanent or before is None or before.status.is_permanent:
                self._results[recipient.index] = Result(recipient.index, status, relay, reason)
        if final:
            self._left = []

    def _is_configured(self) -> bool:
        """Whether the configuration names the destination; otherwise, recipients bear it."""
        if self._is_fallback:
            return True
        domains = {each.address.rpartition("@")[2].lower() for each in self._request.recipients}
        return domains != {self._destination.lower()}

    def _is_refused(self, recipient: DeliverRecipient) -> bool:
        return self._results[recipient.index].status.is_permanent
