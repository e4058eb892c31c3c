"""What a table asks of main.yml: what its profile says, and a way for the postmaster's mail.

A host without mailboxes takes mail for its postmaster all the same (RFC 5321, 4.5.1), and sends it
the way of its other mail. By MX that way leads back to this host.
"""

from collections.abc import Callable
from typing import Final

from mta.config.parameters import Parameters
from mta.config.problems import quoted
from mta.config.table import Table
from mta.config.whole import Whole, WholeCheck
from mta.lookup.forms import Extensions, address_forms
from mta.lookup.open import open_table
from mta.lookup.syntax import parse
from mta.lookup.table import TableError, search
from mta.proto.address import Mailbox
from mta.proto.nexthop import split_transport

__all__ = ["DEMANDS"]

_CLIENTS: Final = ("smtp", "lmtp")
_WAY: Final = (
    *("double_bounce_recipient", "myhostname", "recipient_delimiter", "relayhost", "relay_domains"),
    *("default_transport", "relay_transport", "virtual_transport", "virtual_mailbox_domains"),
    *("mydestination", "virtual_alias_maps", "transport_maps"),
)


def _check_required(whole: Whole) -> None:
    table = whole.table
    for name, text in table.requires.items():
        if name not in whole.unsound and not getattr(whole.parameters, name):
            expected = f"a value, for the profile {table.profile} requires one"
            whole.problems.add(whole.place_of(name), f"main.{name}", expected, "nothing", text)


def _check_refused(whole: Whole) -> None:
    table = whole.table
    for name, text in table.refuses.items():
        if name not in whole.unsound and getattr(whole.parameters, name):
            expected, found = f"nothing, in the profile {table.profile}", "a value"
            whole.problems.add(whole.place_of(name), f"main.{name}", expected, found, text)


def _check_postmaster(whole: Whole) -> None:
    parameters, table = whole.parameters, whole.table
    asked = any(not getattr(parameters, name) for name in table.requires)
    if not table.rows or asked or not _comes_back(parameters, table):
        return
    own, name = parameters.myhostname, "double_bounce_recipient"
    example = (*parameters.relay_domains, "example.com")[0]
    expected = "an address elsewhere, for mail for this host's postmaster would come back to it"
    found = quoted(f"{parameters.double_bounce_recipient.partition('@')[0]}@{own}")
    way_out = f"name somebody, such as postmaster@{example}, here or in virtual_alias_maps, or set "
    way_out += "relayhost"
    whole.problems.add(whole.place_of(name), f"main.{name}", expected, found, way_out)


def _comes_back(parameters: Parameters, table: Table) -> bool:
    """Whether notices go to a postmaster of this host who cannot be reached."""
    own = parameters.myhostname
    local, at, domain = parameters.double_bounce_recipient.rpartition("@")
    if at and domain.lower() != own:
        return False
    if own in parameters.mydestination or _has_alias(Mailbox(local or domain, own), parameters):
        return False
    mailboxes = parameters.virtual_transport.partition(":")[0] in table.names
    if mailboxes or parameters.virtual_mailbox_domains or own in parameters.relay_domains:
        return False
    if parameters.transport_maps:
        return False  # they may lead this mail elsewhere
    way = parameters.default_transport or parameters.relay_transport
    if not way:
        return True
    transport, nexthop = split_transport(way)
    row = table.rows.get(transport)
    is_client = row is not None and row.service.daemon in _CLIENTS
    return is_client and not (nexthop or parameters.relayhost)


def _has_alias(mailbox: Mailbox, parameters: Parameters) -> bool:
    """Whether virtual_alias_maps have the address, as far as can be seen from here."""
    forms = address_forms(mailbox, Extensions.of(parameters.recipient_delimiter), local=True)
    try:
        tables = [open_table(parse(name)) for name in parameters.virtual_alias_maps]
        return search(tables, [form.key for form in forms]) is not None
    except (TableError, ValueError):
        return True  # it may; what is wrong with a table is said where it is named


DEMANDS: Final[tuple[Callable[[Whole], None], ...]] = (
    WholeCheck((), (), _check_required),
    WholeCheck((), (), _check_refused),
    WholeCheck(_WAY, ("daemon",), _check_postmaster),
)
