"""One question to the DNS, and its answer in our own terms: the one module that sees DNS messages.

dnspython tries the servers in turn, over UDP and, when an answer is truncated, over TCP, and
follows CNAMEs. How long a question may take and how many are outstanding is bounded here.
"""

import asyncio
import enum
import ipaddress
from typing import Final, Generic, Literal, TypeVar

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata

# dnspython loads a record type when it first sees one; the loop must not wait for that.
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.SOA
import dns.resolver
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from msgspec import Struct

__all__ = ["Answer", "Finding", "MailExchange", "Questions"]

QUESTIONS_LIMIT: Final = 500  # outstanding at once, each with a socket; others wait
NEGATIVE_TIME: Final = 300.0  # seconds at most: who mends a zone waits no longer for mail

Record = TypeVar("Record")


class Finding(enum.Enum):
    """What a question came to."""

    RECORDS = enum.auto()
    NO_RECORD = enum.auto()  # the name exists and has none of this type
    NO_NAME = enum.auto()  # NXDOMAIN
    FAILURE = enum.auto()  # silence, a refusal, or an answer that makes no sense


class MailExchange(Struct, frozen=True):
    """An MX record; `exchange` is as the DNS has it, "." for the root."""

    preference: int
    exchange: str


class Answer(Struct, Generic[Record], frozen=True):
    """The answer to one question; `ttl` is seconds, `reason` is of a failure, for the log."""

    finding: Finding
    records: tuple[Record, ...] = ()
    ttl: float = 0.0
    secure: bool = False
    reason: str = ""


class Questions:
    """Asks through one resolver; a question takes `timeout` seconds at most, waiting included."""

    def __init__(self, resolver: dns.asyncresolver.Resolver, timeout: float) -> None:
        self._resolver = resolver
        self._timeout = timeout
        self._backend = dns.asyncbackend.get_backend("asyncio")
        self._slots = asyncio.Semaphore(QUESTIONS_LIMIT)

    async def mail_exchanges(self, domain: str) -> Answer[MailExchange]:
        """The MX records of a domain, in the order of the answer."""
        answer = await self._ask(domain, RdataType.MX)
        records = tuple(
            MailExchange(record.preference, record.exchange.to_text())
            for record in answer.records
            if isinstance(record, MX)
        )
        return Answer(answer.finding, records, answer.ttl, answer.secure, answer.reason)

    async def addresses(self, name: str, kind: Literal["A", "AAAA"]) -> Answer[str]:
        """The addresses of one family, in the order of the answer."""
        answer = await self._ask(name, RdataType[kind])
        records = tuple(record.address for record in answer.records if isinstance(record, A | AAAA))
        return Answer(answer.finding, records, answer.ttl, answer.secure, answer.reason)

    async def _ask(self, name: str, kind: RdataType) -> Answer[dns.rdata.Rdata]:
        wanted = dns.name.from_text(name.encode("ascii"))
        try:
            async with asyncio.timeout(self._timeout), self._slots:
                answer = await self._resolver.resolve(
                    wanted,
                    kind,
                    raise_on_no_answer=False,
                    lifetime=self._timeout,
                    backend=self._backend,
                )
        except dns.resolver.NXDOMAIN as error:
            chain = error.kwargs["responses"][wanted].resolve_chaining()
            return Answer(Finding.NO_NAME, ttl=_negative(chain))
        except dns.exception.DNSException as error:
            return Answer(Finding.FAILURE, reason=str(error))
        except TimeoutError:
            return Answer(Finding.FAILURE, reason=f"no answer within {self._timeout:g} s")
        secure = _is_trusted(answer.nameserver) and bool(answer.response.flags & dns.flags.AD)
        chain = answer.chaining_result
        if answer.rrset is None:
            return Answer(Finding.NO_RECORD, ttl=_negative(chain), secure=secure)
        return Answer(Finding.RECORDS, tuple(answer.rrset), chain.minimum_ttl, secure)


def _negative(chain: dns.message.ChainingResult) -> float:
    """How long it may be believed that there is nothing (RFC 2308, 5)."""
    return min(chain.minimum_ttl, NEGATIVE_TIME)


def _is_trusted(server: str | None) -> bool:
    """Whether the name server is on this host, so that nobody on the way can set its AD flag."""
    return server is not None and ipaddress.ip_address(server).is_loopback
