"""A request becomes questions, and their answers become a reply (RFC 5321, 5.1).

    the DNS says                            a domain's mail hosts       a host's addresses
    records                                 their hosts' addresses      these
    the name has none of this type          the domain itself           550 5.4.4
    the null MX (RFC 7505)                  556 5.1.10
    there is no such name                   550 5.1.2                   550 5.1.2
    nothing, or nothing that makes sense    451 4.4.3                   451 4.4.3

A domain none of whose hosts has an address is refused for now if looking up one of them failed,
else for good.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final, Literal

from mta.daemons.resolver.cache import Cache, Found, Reply, Request
from mta.daemons.resolver.names import host_name, is_localhost, literal_address
from mta.daemons.resolver.questions import Answer, Finding, MailExchange, Questions
from mta.ipc.messages import (
    NONE_LEFT_OUT,
    FindAddresses,
    FindMailHosts,
    HostAddresses,
    MailHost,
    MailHosts,
    Refused,
)
from mta.ipc.server import refused
from mta.proto.status import MailError, Status

__all__ = ["Lookups"]

HOSTS_LIMIT: Final = 100  # hosts of a domain that are looked at
ADDRESSES_LIMIT: Final = 100  # addresses of one host
REPLY_ADDRESSES_LIMIT: Final = 500  # addresses of all hosts of a domain: they share a frame

# How long replies are kept, in seconds.
LEAST_TIME: Final = 2.0  # whatever the TTL: the messages of one burst need one look-up
MOST_TIME: Final = 86400.0

_LOCAL: Final = {"A": "127.0.0.1", "AAAA": "::1"}
_KINDS: Final[dict[str, tuple[Literal["A", "AAAA"], ...]]] = {
    "all": ("A", "AAAA"),
    "ipv4": ("A",),
    "ipv6": ("AAAA",),
}
_NOT_FOUND: Final = (
    "Host or domain name not found. Name service error for name={} type={}: Host not found"
)
_NO_ADDRESS: Final = "unable to look up host {}: Host not found"
_NO_MAIL: Final = "Domain {} does not accept mail (nullMX)"
_NO_NAME: Final = Status(550, "5.1.2", "Host or domain name not found: malformed name")


class Lookups:
    """Answers requests out of the cache or the DNS; `protocols` is inet_protocols."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, questions: Questions, protocols: str
    ) -> None:
        self._loop = loop
        self._questions = questions
        self._kinds = _KINDS[protocols]
        self._cache = Cache(loop, self._look_up)

    def answer(self, request: Request) -> Reply | Awaitable[Reply]:
        """The reply, or what brings it when somebody has to be asked."""
        try:
            proper = _proper(request)
        except ValueError as error:
            return refused(MailError(_NO_NAME, str(error)))
        found = self._at_hand(proper)
        return self._find_reply(proper) if found is None else found.reply

    async def _find_reply(self, request: Request) -> Reply:
        return (await self._cache.find(request)).reply

    def _at_hand(self, request: Request) -> Found | None:
        """What is known without a question."""
        if isinstance(request, FindMailHosts):
            if is_localhost(request.domain):
                itself = MailHost(0, request.domain, self._own_addresses())
                return Found(MailHosts((itself,), implicit=True), float("inf"))
        elif is_localhost(request.name):
            return Found(HostAddresses(self._own_addresses()), float("inf"))
        elif literal_address(request.name):
            return Found(HostAddresses((request.name,)), float("inf"))
        return self._cache.known(request)

    def _own_addresses(self) -> tuple[str, ...]:
        return tuple(_LOCAL[kind] for kind in self._kinds)

    async def _look_up(self, request: Request) -> Found:
        if isinstance(request, FindMailHosts):
            return await self._look_up_mail_hosts(request.domain)
        return await self._look_up_addresses(request.name)

    # Mail hosts

    async def _look_up_mail_hosts(self, domain: str) -> Found:
        answer = await self._questions.mail_exchanges(domain)
        match answer.finding:
            case Finding.FAILURE:
                return self._failure(domain, "MX", answer.reason)
            case Finding.NO_NAME:
                return self._refusal("5.1.2", _NOT_FOUND.format(domain, "MX"), answer.ttl)
            case Finding.NO_RECORD:
                exchanges: tuple[MailExchange, ...] = (MailExchange(0, domain),)
            case Finding.RECORDS:
                exchanges = answer.records
        if all(each.exchange == "." for each in exchanges):
            return self._refusal("5.1.10", _NO_MAIL.format(domain), answer.ttl, code=556)
        preferences = _best_hosts(exchanges)
        found = await asyncio.gather(*(self._find_host(name) for name in preferences))
        return self._mail_hosts(domain, answer, preferences, found)

    async def _find_host(self, name: str) -> Found:
        request = FindAddresses(name)
        return self._at_hand(request) or await self._cache.find(request)

    def _mail_hosts(
        self,
        domain: str,
        answer: Answer[MailExchange],
        preferences: dict[str, int],
        found: list[Found],
    ) -> Found:
        """The reply made of the MX records and what was found about each host."""
        expires = min([self._expiry(answer.ttl), *(each.expires for each in found)])
        hosts: list[MailHost] = []
        secure, room, left_out = answer.secure, REPLY_ADDRESSES_LIMIT, NONE_LEFT_OUT
        for (name, preference), each in zip(preferences.items(), found, strict=True):
            reply = each.reply
            if not isinstance(reply, HostAddresses):
                left_out = min(left_out, preference)
            elif room:
                addresses = reply.addresses[:room]
                room -= len(addresses)
                hosts.append(MailHost(preference, name, addresses))
                secure = secure and reply.secure
        if hosts:
            implicit = answer.finding is Finding.NO_RECORD
            return Found(MailHosts(tuple(hosts), implicit, secure, left_out), expires)
        for each in found:
            if isinstance(each.reply, Refused) and each.reply.status.is_temporary:
                return Found(each.reply, expires)
        named = next(iter(preferences), domain)
        return Found(_permanent("5.4.4", _NO_ADDRESS.format(named)), expires)

    # Addresses

    async def _look_up_addresses(self, name: str) -> Found:
        asked = (self._questions.addresses(name, kind) for kind in self._kinds)
        answers = await asyncio.gather(*asked)
        addresses = tuple(address for answer in answers for address in answer.records)
        # What failed is asked again soon, although something was found.
        least = min(answer.ttl for answer in answers)
        if addresses:
            secure = all(answer.secure for answer in answers)
            reply = HostAddresses(addresses[:ADDRESSES_LIMIT], secure)
            return Found(reply, self._expiry(least))
        for kind, answer in zip(self._kinds, answers, strict=True):
            if answer.finding is Finding.FAILURE:
                return self._failure(name, kind, answer.reason)
        if all(answer.finding is Finding.NO_NAME for answer in answers):
            return self._refusal("5.1.2", _NOT_FOUND.format(name, self._kinds[0]), least)
        return self._refusal("5.4.4", _NO_ADDRESS.format(name), least)

    # Replies

    def _expiry(self, ttl: float) -> float:
        return self._loop.time() + min(max(ttl, LEAST_TIME), MOST_TIME)

    def _failure(self, name: str, kind: str, reason: str) -> Found:
        status = Status(451, "4.4.3", _NOT_FOUND.format(name, kind) + ", try again")
        return Found(refused(MailError(status, reason)), self._expiry(0.0))

    def _refusal(self, enhanced: str, text: str, ttl: float, code: int = 550) -> Found:
        return Found(_permanent(enhanced, text, code), self._expiry(ttl))


def _permanent(enhanced: str, text: str, code: int = 550) -> Refused:
    return Refused(Status(code, enhanced, text))


def _proper(request: Request) -> Request:
    """The request with its name in the one form; ValueError if it is no name."""
    if isinstance(request, FindMailHosts):
        return FindMailHosts(host_name(request.domain))
    return FindAddresses(literal_address(request.name) or host_name(request.name))


def _best_hosts(exchanges: tuple[MailExchange, ...]) -> dict[str, int]:
    """The hosts and their preferences, the best first; what is no host's name is left out."""
    preferences: dict[str, int] = {}
    for each in sorted(exchanges, key=lambda each: each.preference):
        try:
            name = host_name(each.exchange)
        except ValueError:
            continue
        if literal_address(name) is None:  # RFC 5321, 5.1: an MX names a host
            preferences.setdefault(name, each.preference)
    return dict(list(preferences.items())[:HOSTS_LIMIT])
