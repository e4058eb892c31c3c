"""The daemon that says where mail for an address goes.

NAME
    rewrite - the canonical form of an address, and where its mail goes

DESCRIPTION
    Answers `Resolve` on ipc:private/rewrite. An address is brought into its canonical form
    (mta.proto.address), its domain is assigned to a class, and the class names transport and
    nexthop:

        virtual   domains of virtual_mailbox_domains -> virtual_transport
        default   all others -> default_transport; where it is empty, the answer has no
                  transport: this host carries no such mail

    The nexthop is what the transport names itself, for other domains else relayhost, else the
    domain.

    `postmaster` without a domain means postmaster at myhostname, which always has a mailbox.
    What is sent to double_bounce_sender at myhostname goes to the transport `discard`: it answers
    a report that nobody could be given, and a report on it would be the next turn of a loop.

SECURITY
    Reads nothing and writes nothing; opens neither file nor connection.

STANDARDS
    RFC 5321 4.1.2 (addresses), 4.5.1 (postmaster), 2.3.5 (a domain is needed otherwise)

CONFIGURATION PARAMETERS
    default_transport double_bounce_sender myhostname relayhost virtual_mailbox_domains
    virtual_transport
"""

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
    """The routing decisions of one configuration."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._virtual_domains = frozenset(parameters.virtual_mailbox_domains)
        self._virtual_transport = split_transport(parameters.virtual_transport)
        self._double_bounce = f"{parameters.double_bounce_sender}@{parameters.myhostname}".lower()
        self._default_transport = ("", "")
        if parameters.default_transport:
            transport, nexthop = split_transport(parameters.default_transport)
            self._default_transport = (transport, nexthop or parameters.relayhost)

    def resolve(self, text: str) -> Resolved:
        """Route one address; MailError 550 5.1.3 if it is none."""
        parameters = self._parameters
        try:
            mailbox = address.parse(text)
        except ValueError as error:
            permanent("5.1.3", "Bad address syntax", str(error))
        postmaster = mailbox.local.lower() == "postmaster"
        if postmaster and not mailbox.domain:
            mailbox = address.Mailbox(mailbox.local, parameters.myhostname)
        domain = mailbox.domain
        if not domain:
            permanent("5.1.3", "An address needs a domain")
        canonical = str(mailbox)
        if canonical.lower() == self._double_bounce:
            return Resolved(canonical, DomainClass.VIRTUAL, _DISCARD, _DOUBLE_BOUNCE)
        if domain in self._virtual_domains or (postmaster and domain == parameters.myhostname):
            domain_class, (transport, nexthop) = DomainClass.VIRTUAL, self._virtual_transport
        else:
            domain_class, (transport, nexthop) = DomainClass.DEFAULT, self._default_transport
        return Resolved(canonical, domain_class, transport, nexthop or domain)


class RewriteHandler(RequestServer[Resolve]):
    """Answers each request at once."""

    def __init__(self, context: Context) -> None:
        super().__init__(RewriteRequest, context.log, context.used, self._resolve)
        self._router = Router(context.parameters)

    def _resolve(self, request: Resolve, _: Descriptors) -> Resolved:
        return self._router.resolve(request.address)


if __name__ == "__main__":
    run(needs=NEEDS, handler=RewriteHandler)
