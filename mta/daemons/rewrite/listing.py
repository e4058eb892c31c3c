"""Whether a recipient exists, for clients that name it (smtpd_reject_unlisted_recipient).

An address that canonical or alias tables know is one that exists, for mail to it becomes another's.
Else a route to `error` or `retry` says what is wrong with it, and otherwise the tables of its class
list all addresses that exist:

    local     local_recipient_maps, and what mail systems send to each other
    virtual   virtual_mailbox_maps
    relay     relay_recipient_maps

A class without such a table takes every address.
"""

from typing import Final

from mta.config.parameters import Parameters
from mta.daemons.rewrite.mapping import AddressMap
from mta.daemons.rewrite.names import Names
from mta.daemons.rewrite.routing import ERROR, RETRY, Route
from mta.daemons.rewrite.tables import Tables
from mta.ipc.messages import DomainClass
from mta.proto.address import Mailbox
from mta.proto.refusal import parse_refusal
from mta.proto.status import Status

__all__ = ["Listing"]

_CODES: Final = {ERROR: "5.1.1", RETRY: "4.1.1"}  # of a reason that names none
_REWRITTEN: Final = ("recipient_canonical_maps", "canonical_maps", "virtual_alias_maps")
_LISTS: Final = {
    DomainClass.LOCAL: ("local_recipient_maps", "local recipient table"),
    DomainClass.VIRTUAL: ("virtual_mailbox_maps", "virtual mailbox table"),
    DomainClass.RELAY: ("relay_recipient_maps", "relay recipient table"),
}


class Listing:
    """The addresses that exist under one configuration."""

    def __init__(self, parameters: Parameters, tables: Tables, names: Names) -> None:
        self._names = names
        maps = (AddressMap(name, tables, names) for name in _REWRITTEN)
        self._rewritten = [each for each in maps if each]
        self._lists = {
            domain_class: (AddressMap(parameter, tables, names), text)
            for domain_class, (parameter, text) in _LISTS.items()
        }
        self._own = frozenset(("postmaster", "mailer-daemon", parameters.double_bounce_sender))

    async def refusal(self, mailbox: Mailbox, route: Route) -> Status | None:
        """Why mail for the address is refused, or nothing; MailError 451 if tables cannot say."""
        for maps in self._rewritten:
            if await maps.find(mailbox) is not None:
                return None
        if route.transport in _CODES:
            return parse_refusal(route.nexthop, _CODES[route.transport])
        if route.domain_class not in self._lists or self._must_exist(mailbox, route):
            return None
        maps, text = self._lists[route.domain_class]
        if not maps or await maps.find(mailbox) is not None:
            return None
        return Status(550, "5.1.1", f"User unknown in {text}")

    def _must_exist(self, mailbox: Mailbox, route: Route) -> bool:
        # Hosts that verify senders ask for the sender of our notices as well.
        if self._names.is_own_postmaster(mailbox) or self._names.is_double_bounce(mailbox):
            return True
        is_local = route.domain_class is DomainClass.LOCAL
        return is_local and mailbox.local.lower() in self._own
