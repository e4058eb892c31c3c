"""The delivery agent that throws mail away.

NAME
    discard - Posthouse's delivery agent for mail that nobody is to get

DESCRIPTION
    Says of all recipients of a request that they were delivered, and delivers to none. The nexthop
    is the reason, for the log; so `discard:the list is closed` is a transport.

SECURITY
    Opens neither file nor connection.

STANDARDS
    RFC 3463 (2.0.0)

DIAGNOSTICS
    One event `delivery` a recipient, relay none, with the reason for its text.
"""

from typing import Final

from mta.delivery.agent import DeliveryAgent, Result
from mta.delivery.content import ContentReader
from mta.ipc.messages import Deliver
from mta.master.daemon import Context, Needs, run
from mta.proto.status import Status

__all__ = ["NEEDS", "make_agent"]

NEEDS = Needs()

_RELAY: Final = "none"


async def _discard(request: Deliver, _: ContentReader) -> list[Result]:
    status = Status(250, "2.0.0", request.nexthop or "discarded")
    return [Result(recipient.index, status, _RELAY) for recipient in request.recipients]


def make_agent(context: Context) -> DeliveryAgent:
    """The handler."""
    return DeliveryAgent(_RELAY, context.log, context.used, _discard)


if __name__ == "__main__":
    run(needs=NEEDS, handler=make_agent)
