"""Where mail for an address goes: the class of its domain, transport and nexthop (transport(5)).

The class names transport and nexthop; sender_dependent_relayhost_maps goes before relayhost,
transport_maps goes before both, and relocated_maps before all. Of an entry of transport_maps

    TRANSPORT:NEXTHOP   both count
    TRANSPORT:          the nexthop is the domain; `error` and `retry` give no reason
    :NEXTHOP            the transport is that of the class
    :                   nothing changes

A nexthop that no route can bear is a temporary failure. The postmaster of this host is
neither unknown nor moved (RFC 5321, 4.5.1).
"""

import re
from collections.abc import Collection
from typing import Final

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.daemons.rewrite.mapping import AddressMap
from mta.daemons.rewrite.names import Names
from mta.daemons.rewrite.tables import Tables
from mta.ipc.maps import table_failure
from mta.ipc.messages import DomainClass
from mta.lookup.forms import transport_keys
from mta.lookup.table import Key
from mta.proto.address import Mailbox
from mta.proto.nexthop import split_transport

__all__ = ["ERROR", "RETRY", "Route", "Router"]

ERROR: Final = "error"  # the row that refuses, for the reason that is its nexthop
RETRY: Final = "retry"  # the same, for a while
_DISCARD: Final = "discard"
_DOUBLE_BOUNCE: Final = "undeliverable postmaster notification"  # why, for the log
_NO_ALIAS: Final = "5.1.1 User unknown in virtual alias table"
_NO_SENDER: Final = "<>"  # the key of the null sender, as Postfix has it
_NO_OPINION: Final = "dunno"
_NEXTHOP_LIMIT: Final = 255  # characters, as in `Resolved`
_UNPRINTABLE: Final = re.compile(r"[^ -~]+")  # what no reply over SMTP can hold


class Route(Struct, frozen=True):
    """Where mail goes; an empty transport carries none."""

    domain_class: DomainClass
    transport: str
    nexthop: str


class Router:
    """The routing decisions of one configuration; `rows` are the names in its table."""

    def __init__(
        self, parameters: Parameters, rows: Collection[str], tables: Tables, names: Names
    ) -> None:
        self._names = names
        self._local_domains = frozenset(parameters.mydestination)
        self._alias_domains = frozenset(parameters.virtual_alias_domains)
        self._virtual_domains = frozenset(parameters.virtual_mailbox_domains)
        self._relay_domains = frozenset(parameters.relay_domains)
        self._local_transport = _parted(parameters.local_transport)
        self._virtual_transport = _parted(parameters.virtual_transport)
        self._relay_transport = _parted(parameters.relay_transport)
        self._default_transport = _parted(parameters.default_transport)
        self._relayhost = parameters.relayhost
        self._delivers = bool(self._virtual_domains) or self._virtual_transport[0] in rows
        self._transports = tables.get("transport_maps")
        self._relayhosts = AddressMap("sender_dependent_relayhost_maps", tables, names)
        self._relocated = AddressMap("relocated_maps", tables, names)

    async def route(self, mailbox: Mailbox, sender: str) -> Route:
        """The route of a complete address; MailError 451 if the tables cannot say."""
        if self._names.is_double_bounce(mailbox):
            return Route(DomainClass.VIRTUAL, _DISCARD, _DOUBLE_BOUNCE)
        domain_class, (transport, nexthop) = self._class_of(mailbox)
        if domain_class is not DomainClass.ALIAS:
            if not nexthop and domain_class in (DomainClass.RELAY, DomainClass.DEFAULT):
                nexthop = await self._relayhost_of(sender)
            nexthop = nexthop or self._own_nexthop(domain_class, mailbox.domain)
            if self._transports is not None:
                transport, nexthop = await self._overridden(mailbox, transport, nexthop)
        if self._relocated and not self._names.is_own_postmaster(mailbox):
            moved = await self._relocated.find(mailbox)
            if moved is not None:
                transport, nexthop = ERROR, _reason(f"5.1.6 User has moved to {moved.text}")
        return Route(domain_class, transport, nexthop)

    def _class_of(self, mailbox: Mailbox) -> tuple[DomainClass, tuple[str, str]]:
        """The class of an address, its transport, and the nexthop that this names or ""."""
        domain = mailbox.domain
        if domain in self._local_domains:
            return DomainClass.LOCAL, self._local_transport
        own_postmaster = self._names.is_own_postmaster(mailbox)
        if domain in self._alias_domains and not own_postmaster:
            return DomainClass.ALIAS, (ERROR, _NO_ALIAS)
        if domain in self._virtual_domains or (own_postmaster and self._delivers):
            return DomainClass.VIRTUAL, self._virtual_transport
        if domain in self._relay_domains:
            return DomainClass.RELAY, self._relay_transport
        if own_postmaster:
            transport = self._default_transport
            return DomainClass.RELAY, transport if transport[0] else self._relay_transport
        return DomainClass.DEFAULT, self._default_transport

    def _own_nexthop(self, domain_class: DomainClass, domain: str) -> str:
        """Where nothing names one: Postfix's local(8) has one destination for all domains."""
        return self._names.hostname if domain_class is DomainClass.LOCAL else domain

    async def _relayhost_of(self, sender: str) -> str:
        if self._relayhosts:
            found = await self._relayhosts.find_key(sender, Key(_NO_SENDER))
            if found and found.lower() != _NO_OPINION:
                return _sound("sender_dependent_relayhost_maps", sender, found)
        return self._relayhost

    async def _overridden(self, mailbox: Mailbox, transport: str, nexthop: str) -> tuple[str, str]:
        """Transport and nexthop once transport_maps has been asked."""
        assert self._transports is not None
        keys = transport_keys(mailbox, self._names.extensions)
        hit = await self._transports.find(keys)
        if hit is None:
            return transport, nexthop
        parameter, key = "transport_maps", keys[hit.key].text
        named, _, host = hit.value.strip().partition(":")
        if named in (ERROR, RETRY):
            return named, _reason(host)
        host = _sound(parameter, key, host)
        if not named:
            return transport, host or nexthop
        try:
            split_transport(named)
        except ValueError as error:
            raise table_failure(parameter, f"the value of {key!r}: {error}") from error
        return named, host or mailbox.domain


def _reason(text: str) -> str:
    """A reason as it can be told to anybody."""
    return _UNPRINTABLE.sub(" ", text)[:_NEXTHOP_LIMIT]


def _sound(parameter: str, key: str, value: str) -> str:
    """The value, if a route can bear it; half a name of a host is the name of another."""
    if len(value) > _NEXTHOP_LIMIT or _UNPRINTABLE.search(value):
        expected = f"expected at most {_NEXTHOP_LIMIT} printable characters of ASCII"
        raise table_failure(parameter, f"the value of {key!r}: {expected}, got {value[:100]!r}")
    return value


def _parted(text: str) -> tuple[str, str]:
    """Transport and nexthop; both are empty where no transport is named."""
    return split_transport(text) if text else ("", "")
