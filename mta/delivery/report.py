"""The log's record of what became of a recipient: one form for all who decide it."""

from mta.ipc.messages import DeliverRecipient, Outcome
from mta.proto.status import Disposition
from mta.util.log import Log

__all__ = ["log_outcome"]

_WORDS = {
    Disposition.DELIVERED: "sent",
    Disposition.DEFERRED: "deferred",
    Disposition.BOUNCED: "bounced",
}


def log_outcome(
    log: Log,
    queue_id: str,
    recipient: DeliverRecipient,
    outcome: Outcome,
    delay: float,
    reason: str = "",
) -> None:
    """Write the event `delivery`; `delay` is the message's age, `reason` for the log alone.

    A clock that was set back since the message arrived makes no delay negative.
    """
    write = log.info if outcome.disposition is Disposition.DELIVERED else log.warning
    write(
        "delivery",
        queue_id=queue_id,
        to=recipient.address,
        original_to=recipient.original,
        relay=outcome.relay,
        delay=round(max(0.0, delay), 3),
        dsn=outcome.status.enhanced,
        status=_WORDS[outcome.disposition],
        text=outcome.status.text,
        **({"reason": reason} if reason else {}),
    )
