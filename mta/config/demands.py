"""What a table asks of main.yml: what its profile says, and a way for the postmaster's mail.

A host without mailboxes takes mail for its postmaster all the same (RFC 5321, 4.5.1), and sends it
the way of its other mail. By MX that way leads back to this host.
"""

from dataclasses import dataclass
from typing import Final

from mta.config.parameters import Parameters
from mta.config.table import Table
from mta.proto.nexthop import split_transport

__all__ = ["Misfit", "misfits"]

_CLIENTS: Final = ("smtp", "lmtp")


@dataclass(frozen=True)
class Misfit:
    """A parameter that does not fit the table, and why."""

    parameter: str
    text: str


def misfits(parameters: Parameters, table: Table) -> list[Misfit]:
    """What main.yml lacks or has too much."""
    found = [
        Misfit(name, f"required by the profile {table.profile}: {text}")
        for name, text in table.requires.items()
        if not getattr(parameters, name)
    ]
    found += [
        Misfit(name, f"not for the profile {table.profile}: {text}")
        for name, text in table.refuses.items()
        if getattr(parameters, name)
    ]
    if table.rows and not found and _comes_back(parameters, table):
        own = parameters.myhostname
        example = (*parameters.relay_domains, "example.com")[0]
        text = (
            f"mail for postmaster@{own} would come back to this host, which has no mailboxes: "
            f"name somebody elsewhere, such as postmaster@{example}, or set relayhost"
        )
        found.append(Misfit("double_bounce_recipient", text))
    return found


def _comes_back(parameters: Parameters, table: Table) -> bool:
    """Whether notices go to a postmaster of this host who cannot be reached."""
    own = parameters.myhostname
    _, at, domain = parameters.double_bounce_recipient.rpartition("@")
    if at and domain.lower() != own:
        return False
    mailboxes = parameters.virtual_transport.partition(":")[0] in table.names
    if mailboxes or parameters.virtual_mailbox_domains or own in parameters.relay_domains:
        return False
    way = parameters.default_transport or parameters.relay_transport
    if not way:
        return True
    transport, nexthop = split_transport(way)
    row = table.rows.get(transport)
    is_client = row is not None and row.service.daemon in _CLIENTS
    return is_client and not (nexthop or parameters.relayhost)
