"""Who may send what where, by the law of mta.proto.relay.

domain class   destination
LOCAL          ours
ALIAS          ours
VIRTUAL        ours
RELAY          ours, if a transport carries mail there and the local part names no further host
DEFAULT        anybody's

The host that mail is relayed to may take user%other.example for one of other.example: whoever may
not send there must not send there by way of us.
"""

from typing import Final

from mta.ipc.messages import DomainClass, Resolved
from mta.proto.address import names_route
from mta.proto.relay import refusal
from mta.proto.status import MailError, Status

__all__ = ["check_listed", "check_relay"]

_TEXT_LIMIT: Final = 500  # characters of a reply


def check_relay(resolved: Resolved, original: str, *, trusted: bool) -> None:
    """Whether mail may go there; MailError if not. `trusted` is a client in mynetworks."""
    match resolved.domain_class:
        case DomainClass.RELAY:
            ours = resolved.transport != "" and not names_route(resolved.address)
        case DomainClass.DEFAULT:
            ours = False
        case DomainClass.LOCAL | DomainClass.ALIAS | DomainClass.VIRTUAL:
            ours = True
    status = refusal(original, ours=ours, trusted=trusted, transport=resolved.transport)
    if status is not None:
        raise MailError(status)


def check_listed(resolved: Resolved, original: str) -> None:
    """Whether the address exists, if that was asked; MailError if not."""
    status = resolved.refusal
    if status is not None:
        text = f"<{original}>: Recipient address rejected: {status.text}"
        raise MailError(Status(status.code, status.enhanced, text[:_TEXT_LIMIT]))
