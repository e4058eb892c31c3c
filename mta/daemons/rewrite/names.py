"""Addresses as this host understands them: parsed, completed, and whose they are.

A local part without a domain is one of myorigin; `postmaster` alone is always myhostname's (RFC
5321, 4.5.1). Under append_dot_mydomain a domain without a dot is one of mydomain. What is quoted
or holds % or ! names no other host here: user%host is a local part as any other.
"""

from mta.config.parameters import Parameters
from mta.lookup.forms import Extensions, Form, address_forms
from mta.proto import address
from mta.proto.address import Mailbox
from mta.proto.status import permanent

__all__ = ["Names"]


class Names:
    """The names of one configuration."""

    def __init__(self, parameters: Parameters) -> None:
        self.hostname = parameters.myhostname
        self.origin = parameters.myorigin or parameters.myhostname
        self.extensions = Extensions.of(
            parameters.recipient_delimiter,
            parameters.double_bounce_sender,
            lists=parameters.owner_request_special,
        )
        self._double_bounce = f"{parameters.double_bounce_sender}@{self.hostname}".lower()
        self._appended = f".{_domain(parameters)}" if parameters.append_dot_mydomain else ""
        self._own = frozenset((self.origin, *parameters.mydestination))

    def parse(self, text: str) -> Mailbox:
        """The address, complete; MailError 550 5.1.3 if it is none."""
        try:
            return self.complete(address.parse(text))
        except ValueError as error:
            permanent("5.1.3", "Bad address syntax", str(error))

    def complete(self, mailbox: Mailbox) -> Mailbox:
        """The address with its whole domain; ValueError if that makes it too long."""
        domain = mailbox.domain
        if not domain:
            domain = self.hostname if mailbox.local.lower() == "postmaster" else self.origin
        if self._appended and "." not in domain and not domain.startswith("["):
            domain += self._appended
        if domain == mailbox.domain:
            return mailbox
        return address.parse(str(Mailbox(mailbox.local, domain)))

    def forms(self, mailbox: Mailbox) -> list[Form]:
        """What tables are asked about the address."""
        return address_forms(mailbox, self.extensions, local=mailbox.domain in self._own)

    def is_own_postmaster(self, mailbox: Mailbox) -> bool:
        """Whether the address is one whose mail must always be taken."""
        return mailbox.domain == self.hostname and mailbox.local.lower() == "postmaster"

    def is_double_bounce(self, mailbox: Mailbox) -> bool:
        """Whether the address is the sender of this host's notices to its postmaster."""
        return str(mailbox).lower() == self._double_bounce


def _domain(parameters: Parameters) -> str:
    """mydomain, which is by default myhostname without its first label (postconf(5))."""
    parent = parameters.myhostname.partition(".")[2]
    return parameters.mydomain or (parent if "." in parent else parameters.myhostname)
