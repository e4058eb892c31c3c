"""The delivery agent that refuses all mail, for a reason that the route gives.

NAME
    error - Posthouse's delivery agent for mail that is not to be delivered

DESCRIPTION
    Refuses all recipients of a request. The nexthop is the reason, which an enhanced status code
    may precede:

        error:5.1.6 the department has moved      the mail is returned
        error:4.3.2 the server is being repaired  the mail waits
        error:no such host                        as with 5.0.0

    In a row of the name `retry`, a reason without a code means 4.0.0.

SECURITY
    Opens neither file nor connection.

STANDARDS
    RFC 3463 (enhanced status codes)

DIAGNOSTICS
    One event `delivery` a recipient, relay none, with the reason for its text.

BUGS
    In a row of the name `retry`, Postfix's error(8) lets mail wait whatever the code; here, a code
    that is given decides.
"""

from typing import Final

from mta.delivery.agent import DeliveryAgent, Result
from mta.delivery.content import ContentReader
from mta.ipc.messages import Deliver
from mta.master.daemon import Context, Needs, run
from mta.proto.refusal import parse_refusal

__all__ = ["NEEDS", "make_agent"]

NEEDS = Needs()

_RELAY: Final = "none"
_RETRY: Final = "retry"  # the row's name in Postfix's master.cf


def make_agent(context: Context) -> DeliveryAgent:
    """The handler."""
    default = "4.0.0" if context.service.name == _RETRY else "5.0.0"

    async def refuse(request: Deliver, _: ContentReader) -> list[Result]:
        status = parse_refusal(request.nexthop, default)
        return [Result(recipient.index, status, _RELAY) for recipient in request.recipients]

    return DeliveryAgent(_RELAY, context.log, context.used, refuse)


if __name__ == "__main__":
    run(needs=NEEDS, handler=make_agent)
