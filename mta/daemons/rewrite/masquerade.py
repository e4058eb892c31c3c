"""Hosts hidden behind their domain: user@host.example.com becomes user@example.com.

The domains of masquerade_domains are tried in their order, and the first that is the address's own
or a parent of it decides; `!domain` decides that the address stays.
"""

from mta.config.parameters import Parameters
from mta.proto.address import Mailbox

__all__ = ["Masquerade"]


class Masquerade:
    """The rule of one configuration."""

    def __init__(self, parameters: Parameters) -> None:
        self._domains = parameters.masquerade_domains
        self._exceptions = frozenset(name.lower() for name in parameters.masquerade_exceptions)

    def apply(self, mailbox: Mailbox) -> Mailbox:
        """The address with its host hidden."""
        if mailbox.local.lower() in self._exceptions:
            return mailbox
        for entry in self._domains:
            domain = entry.removeprefix("!")
            if mailbox.domain == domain or mailbox.domain.endswith(f".{domain}"):
                return mailbox if entry.startswith("!") else Mailbox(mailbox.local, domain)
        return mailbox
