"""Who may send what where, by the law of mta.proto.relay.

domain class   destination
VIRTUAL        ours
RELAY          ours, if a transport carries mail there
DEFAULT        anybody's
"""

from mta.ipc.messages import DomainClass, Resolved
from mta.proto.relay import refusal
from mta.proto.status import MailError

__all__ = ["check_relay"]


def check_relay(resolved: Resolved, original: str, *, trusted: bool) -> None:
    """Whether mail may go there; MailError if not. `trusted` is a client in mynetworks."""
    relayed = resolved.domain_class is DomainClass.RELAY and resolved.transport != ""
    ours = relayed or resolved.domain_class is DomainClass.VIRTUAL
    status = refusal(original, ours=ours, trusted=trusted, transport=resolved.transport)
    if status is not None:
        raise MailError(status)
