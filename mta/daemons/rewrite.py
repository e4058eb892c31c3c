"""The daemon that says where mail for an address goes.

NAME
    rewrite - the canonical form of an address, and where its mail goes

DESCRIPTION
    Answers `Resolve` on ipc:private/rewrite. An address is brought into its canonical form
    (mta.proto.address), its domain is assigned to a class, and the class names transport and
    nexthop:

        virtual   domains of virtual_mailbox_domains -> virtual_transport
        relay     domains of relay_domains -> relay_transport
        default   all others -> default_transport; where it is empty, the answer has no
                  transport: this host carries no such mail

    The nexthop is what the transport names itself, but for mailboxes here else relayhost, else the
    domain.

    `postmaster` without a domain means postmaster at myhostname, whose mail is always taken: by
    virtual_transport, or on a host that delivers nothing itself (virtual_mailbox_domains is empty
    and the table has no row virtual_transport) in the class relay as other mail from here: by
    default_transport, or where that is empty by relay_transport.
    What is sent to double_bounce_sender at myhostname goes to the transport `discard`: it answers
    a report that nobody could be given, and a report on it would be the next turn of a loop.

SECURITY
    Reads nothing and writes nothing; opens neither file nor connection.

STANDARDS
    RFC 5321 4.1.2 (addresses), 4.5.1 (postmaster), 2.3.5 (a domain is needed otherwise)

CONFIGURATION PARAMETERS
    default_transport double_bounce_sender myhostname relay_domains relay_transport relayhost
    virtual_mailbox_domains virtual_transport
"""

from collections.abc import Collection
from typing import Final

from mta.config.parameters import Parameters
from mta.ipc.connection import Descriptors
from mta.ipc.messages import DomainClass, Resolve, Resolved, RewriteRequest
from mta.ipc.server import RequestServer
from mta.master.daemon import Context, Needs, run
from mta.proto import address
from mta.proto.nexthop import split_transport
from mta.proto.status import permanent

__all__ = ["NEEDS", "RewriteHandler", "Router"]

NEEDS = Needs()

_DISCARD: Final = "discard"
_DOUBLE_BOUNCE: Final = "undeliverable postmaster notification"  # why, for the log


class Router:
    """The routing decisions of one configuration; `rows` are the names in its table."""

    def __init__(self, parameters: Parameters, rows: Collection[str]) -> None:
        self._parameters = parameters
        self._virtual_domains = frozenset(parameters.virtual_mailbox_domains)
        self._virtual_transport = _parted(parameters.virtual_transport)
        self._relay_domains = frozenset(parameters.relay_domains)
        self._relay_transport = _outward(parameters.relay_transport, parameters)
        self._default_transport = _outward(parameters.default_transport, parameters)
        self._delivers = bool(self._virtual_domains) or self._virtual_transport[0] in rows
        self._double_bounce = f"{parameters.double_bounce_sender}@{parameters.myhostname}".lower()

    def resolve(self, text: str) -> Resolved:
        """Route one address; MailError 550 5.1.3 if it is none."""
        hostname = self._parameters.myhostname
        try:
            mailbox = address.parse(text)
        except ValueError as error:
            permanent("5.1.3", "Bad address syntax", str(error))
        postmaster = mailbox.local.lower() == "postmaster"
        if postmaster and not mailbox.domain:
            mailbox = address.Mailbox(mailbox.local, hostname)
        domain = mailbox.domain
        if not domain:
            permanent("5.1.3", "An address needs a domain")
        canonical = str(mailbox)
        if canonical.lower() == self._double_bounce:
            return Resolved(canonical, DomainClass.VIRTUAL, _DISCARD, _DOUBLE_BOUNCE)
        domain_class, (transport, nexthop) = self._route(
            domain, own_postmaster=postmaster and domain == hostname
        )
        return Resolved(canonical, domain_class, transport, nexthop or domain)

    def _route(self, domain: str, *, own_postmaster: bool) -> tuple[DomainClass, tuple[str, str]]:
        """The class of an address, its transport, and the nexthop or ""."""
        if domain in self._virtual_domains or (own_postmaster and self._delivers):
            return DomainClass.VIRTUAL, self._virtual_transport
        if domain in self._relay_domains:
            return DomainClass.RELAY, self._relay_transport
        if own_postmaster:
            transport = self._default_transport
            return DomainClass.RELAY, transport if transport[0] else self._relay_transport
        return DomainClass.DEFAULT, self._default_transport


def _outward(text: str, parameters: Parameters) -> tuple[str, str]:
    """A transport to other hosts, with a nexthop of its own or relayhost."""
    transport, nexthop = _parted(text)
    return transport, nexthop or parameters.relayhost


def _parted(text: str) -> tuple[str, str]:
    """Transport and nexthop; both are empty where no transport is named."""
    return split_transport(text) if text else ("", "")


class RewriteHandler(RequestServer[Resolve]):
    """Answers each request at once."""

    def __init__(self, context: Context) -> None:
        super().__init__(RewriteRequest, context.log, context.used, self._resolve)
        rows = {row.name for row in context.snapshot.services}
        self._router = Router(context.parameters, rows)

    def _resolve(self, request: Resolve, _: Descriptors) -> Resolved:
        return self._router.resolve(request.address)


if __name__ == "__main__":
    run(needs=NEEDS, handler=RewriteHandler)
