"""Who is told, and of whom: what a queue file and the parameters say. No IO but the queue file's.

sender of the message     of a failure is told             of a delay
anybody                   the sender, from <>              the sender, from <>
<>                        the postmaster, from             nobody
                          double_bounce_sender
double_bounce_sender      nobody: the loop ends here       nobody

The story itself is the journal's (mta.queue.journal), as the queue file's reader sums it up.
"""

from typing import Final

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.delivery.content import ContentReader
from mta.proto.dsn import RecipientStatus, Returned
from mta.proto.status import Disposition, ReportKind, Status
from mta.queue.reader import QueueFile

__all__ = ["Addressee", "addressee", "concerned", "returned"]

_NULL_SENDER: Final = ""
_CRLF: Final = b"\r\n"
# Of a recipient that is still waiting for the end of the first attempt.
_NO_ATTEMPT: Final = Status(451, "4.0.0", "no attempt to deliver has ended yet")


class Addressee(Struct, frozen=True):
    """To whom a report goes, as an address not yet canonical, and from whom."""

    address: str
    sender: str
    is_postmaster: bool  # in place of a sender that there is none


def addressee(kind: ReportKind, sender: str, parameters: Parameters) -> Addressee | None:
    """Who is told what became of that sender's message; None: nobody."""
    double_bounce = f"{parameters.double_bounce_sender}@{parameters.myhostname}"
    if sender.lower() == double_bounce.lower():
        return None
    if sender:
        return Addressee(sender, _NULL_SENDER, is_postmaster=False)
    if kind is ReportKind.DELAY:
        return None
    postmaster = parameters.double_bounce_recipient
    if "@" not in postmaster:
        postmaster = f"{postmaster}@{parameters.myhostname}"
    return Addressee(postmaster, double_bounce, is_postmaster=True)


def concerned(kind: ReportKind, file: QueueFile) -> list[RecipientStatus]:
    """The recipients that a report of this kind must name, in the order of the envelope."""
    if kind is ReportKind.FAILURE:
        indices = [
            index
            for index, outcome in file.outcomes.items()
            if outcome.disposition is Disposition.BOUNCED and index not in file.reported
        ]
    else:
        indices = list(set(range(len(file.envelope.recipients))) - file.done)
    return [_status(index, file) for index in sorted(indices)]


def _status(index: int, file: QueueFile) -> RecipientStatus:
    recipient, outcome = file.envelope.recipients[index], file.outcomes.get(index)
    if outcome is None:
        return RecipientStatus(recipient.address, recipient.original, _NO_ATTEMPT, "none", None)
    return RecipientStatus(
        recipient.address, recipient.original, outcome.status, outcome.relay, outcome.when
    )


def returned(file: QueueFile, parameters: Parameters) -> Returned:
    """What a report returns of the message: half of message_size_limit at most.

    MailError (451 4.3.0), here or on reading, when the file cannot be read.
    """
    room = parameters.message_size_limit // 2
    content = ContentReader(file.descriptor, file.content_offset, file.content_length)
    if content.length <= min(parameters.bounce_size_limit, room):
        return Returned(content.chunks, whole=True)
    section = content.headers(min(parameters.header_size_limit, room))
    fields, end, _ = section.rpartition(_CRLF)
    return Returned(lambda: (fields + end,), whole=False)
