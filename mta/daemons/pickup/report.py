"""What the sender of a file hears when cleanup refuses its message for good (RFC 3464).

There is no queue file, so no queue manager has it told: the file's own header section is returned,
with the refusal as every recipient's status.
"""

import os
import time
from typing import Final

from mta.config.parameters import Parameters
from mta.daemons.pickup.lines import LineEnds
from mta.daemons.pickup.passage import Services
from mta.proto.dsn import DeliveryReport, Notification, RecipientStatus, Returned
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import ReportKind, Status
from mta.queue.maildrop import DroppedMessage
from mta.queue.queue_id import new_queue_id

__all__ = ["compose", "send"]

_RECIPIENTS_LIMIT: Final = 1000  # that a report may name
_BLANK_LINE: Final = b"\r\n\r\n"


def compose(
    dropped: DroppedMessage, sender: str, status: Status, parameters: Parameters
) -> DeliveryReport:
    """The report; it reads the file, and raises what that raises."""
    now = time.time()
    recipients = [
        RecipientStatus(address, address, status, "none", None)
        for address in dropped.submission.recipients[:_RECIPIENTS_LIMIT]
    ]
    notification = Notification(
        kind=ReportKind.FAILURE,
        report_id=new_queue_id(now, os.urandom(8)),
        hostname=parameters.myhostname,
        to=sender,
        to_postmaster=False,
        queue_id="maildrop",
        sender=sender,
        arrived=now,
        lifetime=0.0,  # of which a failure says nothing
        offset=time.localtime(now).tm_gmtoff,
    )
    section = _header(
        dropped, min(parameters.header_size_limit, parameters.message_size_limit // 2)
    )
    returned = Returned(lambda: (section,), whole=False)
    return DeliveryReport(notification, recipients, returned, parameters.message_size_limit)


def _header(dropped: DroppedMessage, limit: int) -> bytes:
    """The header section, cut where it is too long."""
    lines, section = LineEnds(), b""
    for piece in dropped.content():
        section += lines.feed(piece)
        if _BLANK_LINE in section or len(section) > limit:
            break
    section = section.partition(_BLANK_LINE)[0][:limit].rstrip(b"\r\n")
    return section + b"\r\n" if section else b""


async def send(report: DeliveryReport, sender: str, services: Services) -> str:
    """Have the report committed; its queue id. MailError if it is not."""
    origin = Origin("", "", 0, "", services.name)
    transaction = services.cleanup.begin("", origin, report.body_8bit)
    transaction.recipients((Recipient(sender, sender),))
    for piece in report.pieces():
        await transaction.content(piece)
    return await transaction.commit()
