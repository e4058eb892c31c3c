"""Delivery status notifications (RFC 3464) as octets: a multipart/report (RFC 6522) of three parts.

    text/plain                                what happened, for people
    message/delivery-status                   the same for programs: the message, each recipient
    message/rfc822 or text/rfc822-headers     what was sent, whole or its header section

What others say (addresses, replies) becomes printable ASCII, cut and folded: it ends no field and
begins no line of its own, so it cannot be taken for a field or a boundary. What was sent is
returned octet by octet; the boundary is one that occurs nowhere in it. Deviation: of very many
recipients those are named that fit a quarter of the size limit (RFC 3464, 2.3, wants all); the text
says how many there are.
"""

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

from mta.proto.headers import format_date
from mta.proto.status import ReportKind, Status

__all__ = ["DeliveryReport", "Notification", "RecipientStatus", "Returned"]

_VALUE_LIMIT: Final = 800  # characters of what others say; a line has at most 998 (RFC 5322, 2.1.1)
_WIDTH: Final = 76  # characters of a line, where that is ours to choose
_LISTED: Final = 100  # recipients that the part for people names
_UNPRINTABLE: Final = re.compile(r"[^ -~]")

# Our delivery agents' relay: where the recipient's mail went, if that was a host.
_REMOTE: Final = re.compile(r"([^\s\[\]]+)\[[0-9A-Fa-f:.]+\]:\d+")
# What our SMTP client makes of a reply; the group is the reply itself.
_REPLY: Final = re.compile(
    r"host \S+ said: ([2-5]\d\d(?:[ -].*?)?)(?: \(in reply to [^()]*\))?", re.ASCII
)

_SUBJECTS: Final = {
    ReportKind.FAILURE: "Undelivered Mail Returned to Sender",
    ReportKind.DELAY: "Delayed Mail (still being retried)",
}
_POSTMASTER_SUBJECT: Final = "Postmaster Copy: Undelivered Mail"
_FAILURE_TEXT: Final = """\
This is the mail system at host {hostname}.

I am sorry to have to tell you that your message could not be delivered
to one or more recipients; they are named below, each with the reason.
Your message, or its header, is attached.

If you need help, please write to postmaster and include this report. You
may leave out your own text from the attached message.
"""
_DELAY_TEXT: Final = """\
This is the mail system at host {hostname}.

THIS IS ONLY A WARNING: YOU DO NOT NEED TO RESEND YOUR MESSAGE.

Your message could not be delivered yet to one or more recipients; they
are named below, each with the reason. It will be tried again until it
is {lifetime} old. Your message, or its header, is attached.

If you need help, please write to postmaster and include this report. You
may leave out your own text from the attached message.
"""
_POSTMASTER_TEXT: Final = """\
This is the mail system at host {hostname}.

A message could not be delivered to one or more recipients; they are named
below, each with the reason. It has no sender that it could be returned to,
so this report comes to you. The message, or its header, is attached.
"""


class RecipientStatus(Struct, frozen=True):
    """What became of one recipient; `when` is the last attempt, None if there was none."""

    address: str
    original: str  # the address that the sender gave, or nothing
    status: Status
    relay: str
    when: float | None  # seconds since the epoch


class Returned(Struct, frozen=True):
    """What is returned of the message: all of it, or its header section.

    `pieces` gives the octets in pieces, each time it is called.
    """

    pieces: Callable[[], Iterable[bytes]]
    whole: bool


class Notification(Struct, frozen=True, kw_only=True):
    """Who tells whom about which message; times are seconds since the epoch."""

    kind: ReportKind
    report_id: str  # unique, of characters fit for a boundary (RFC 2046, 5.1.1), at most 50
    hostname: str
    to: str  # the canonical address that the report goes to
    to_postmaster: bool  # in place of a sender that there is none
    queue_id: str  # of the message that the report is about, as are the fields that follow
    sender: str
    arrived: float
    lifetime: float  # how old it may become, in seconds
    offset: int  # of dates, in seconds east of UTC


class DeliveryReport:
    """One report, made of what is returned and as many recipients as there is room for.

    To make it, and to go through `pieces`, reads what is returned, and raises what that raises.
    `size_limit` is what the report must fit, in octets: recipients take three eighths of it at
    most. With half of it at most for what is returned, the report fits 16 KiB and any larger limit.
    """

    def __init__(
        self,
        notification: Notification,
        recipients: Sequence[RecipientStatus],
        returned: Returned,
        size_limit: int,
    ) -> None:
        self._notification = notification
        self._recipients = recipients
        self._returned = returned
        self.body_8bit = any(not piece.isascii() for piece in returned.pieces())
        self._boundary = _choose_boundary(notification.report_id, returned.pieces)
        self._listed = _count_fitting(map(self._for_people, recipients[:_LISTED]), size_limit // 8)
        self._named = _count_fitting(map(self._group, recipients), size_limit // 4)

    def pieces(self) -> Iterator[bytes]:
        """The octets of the report, header section first, in pieces of any size."""
        yield self._header()
        yield self._part("text/plain; charset=us-ascii", "Notification")
        yield from self._text()
        yield self._part("message/delivery-status", "Delivery report")
        yield self._message_fields()
        for recipient in islice(self._recipients, self._named):
            yield self._group(recipient)
        if self._returned.whole:
            yield self._part("message/rfc822", "Undelivered message", may_be_8bit=True)
        else:
            yield self._part("text/rfc822-headers", "Undelivered header", may_be_8bit=True)
        yield from self._returned.pieces()
        yield f"\r\n--{self._boundary}--\r\n".encode("ascii")

    def _header(self) -> bytes:
        """The header section; cleanup adds Date and Message-ID."""
        note = self._notification
        lines = [
            f"From: MAILER-DAEMON@{note.hostname} (Mail Delivery System)",
            f"To: <{_plain(note.to)}>",
            f"Subject: {_POSTMASTER_SUBJECT if note.to_postmaster else _SUBJECTS[note.kind]}",
            "Auto-Submitted: auto-replied",
            "MIME-Version: 1.0",
            "Content-Type: multipart/report; report-type=delivery-status;",
            f'\tboundary="{self._boundary}"',
        ]
        if self.body_8bit:
            lines.append("Content-Transfer-Encoding: 8bit")
        return _lines(*lines, "", "This is a MIME-encapsulated message.")

    def _part(self, content_type: str, description: str, *, may_be_8bit: bool = False) -> bytes:
        """The boundary before a part, and the part's own header."""
        encoding = "8bit" if may_be_8bit and self.body_8bit else "7bit"
        return _lines(
            "",
            f"--{self._boundary}",
            f"Content-Description: {description}",
            f"Content-Type: {content_type}",
            f"Content-Transfer-Encoding: {encoding}",
            "",
        )

    def _text(self) -> Iterator[bytes]:
        note = self._notification
        if note.to_postmaster:
            text = _POSTMASTER_TEXT
        else:
            text = _FAILURE_TEXT if note.kind is ReportKind.FAILURE else _DELAY_TEXT
        filled = text.format(hostname=note.hostname, lifetime=_span(note.lifetime))
        yield _lines(*filled.splitlines(), "", "                   The mail system")
        for recipient in islice(self._recipients, self._listed):
            yield self._for_people(recipient)
        more = len(self._recipients) - self._listed
        if more:
            yield _lines("", f"... and {more} more; the attached delivery report")
            every = self._named == len(self._recipients)
            yield _lines("names all of them." if every else f"names {self._named} in all.")

    def _for_people(self, recipient: RecipientStatus) -> bytes:
        who = f"<{_plain(recipient.address)}>"
        if recipient.original and recipient.original != recipient.address:
            who += f" (given as <{_plain(recipient.original)}>)"
        said = f"{who}: {_words(recipient.status.text) or recipient.status.enhanced}"
        lines = textwrap.wrap(said, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
        return _lines("", *lines)

    def _message_fields(self) -> bytes:
        """RFC 3464, 2.2: the fields of the whole message."""
        note = self._notification
        lines = [
            f"Reporting-MTA: dns; {note.hostname}",
            f"X-Posthouse-Queue-ID: {note.queue_id}",
        ]
        if note.sender:
            lines.append(f"X-Posthouse-Sender: rfc822; {_plain(note.sender)}")
        lines.append(f"Arrival-Date: {format_date(note.arrived, note.offset)}")
        return _lines(*lines)

    def _group(self, recipient: RecipientStatus) -> bytes:
        """RFC 3464, 2.3: the fields of one recipient, in the order of the grammar."""
        note = self._notification
        lines = [""]
        if recipient.original and recipient.original != recipient.address:
            lines.append(f"Original-Recipient: rfc822;{_plain(recipient.original)}")
        lines += [
            f"Final-Recipient: rfc822; {_plain(recipient.address)}",
            f"Action: {note.kind.value}",
            f"Status: {recipient.status.enhanced}",
        ]
        remote = _REMOTE.fullmatch(recipient.relay)
        if remote is not None:
            lines.append(f"Remote-MTA: dns; {_plain(remote[1])}")
        lines += _folded(f"Diagnostic-Code: {_diagnostic(recipient.status)}")
        if recipient.when is not None:
            lines.append(f"Last-Attempt-Date: {format_date(recipient.when, note.offset)}")
        if note.kind is ReportKind.DELAY:
            until = format_date(note.arrived + note.lifetime, note.offset)
            lines.append(f"Will-Retry-Until: {until}")
        return _lines(*lines)


def _choose_boundary(report_id: str, pieces: Callable[[], Iterable[bytes]]) -> str:
    """A boundary that is nowhere in what is returned.

    Nobody can know the report's id beforehand, so the first will do, if the id is as it should be.
    """
    number = 0
    while _occurs(f"{report_id}.{number}".encode("ascii"), pieces()):
        number += 1
    return f"{report_id}.{number}"


def _occurs(wanted: bytes, pieces: Iterable[bytes]) -> bool:
    tail = b""
    for piece in pieces:
        data = tail + piece
        if wanted in data:
            return True
        tail = data[1 - len(wanted) :]
    return False


def _count_fitting(texts: Iterable[bytes], room: int) -> int:
    """How many of them, from the first, take no more than `room` octets."""
    count = 0
    for text in texts:
        room -= len(text)
        if room < 0:
            break
        count += 1
    return count


def _diagnostic(status: Status) -> str:
    """RFC 3464, 2.3.6: the reply of the server that refused, or else our own words."""
    text = _words(status.text)
    reply = _REPLY.fullmatch(text)
    return f"smtp; {reply[1]}" if reply else f"x-posthouse; {text or status.enhanced}"


def _plain(text: str) -> str:
    """One line of printable ASCII, whatever the text is."""
    escaped = text.encode("ascii", "backslashreplace").decode("ascii")
    return _UNPRINTABLE.sub(" ", escaped)[:_VALUE_LIMIT]


def _words(text: str) -> str:
    """The same with single spaces, so that it can be folded."""
    return " ".join(_plain(text).split())


def _folded(field: str) -> list[str]:
    """A field of single spaces as lines; unfolding (RFC 5322, 2.2.3) brings it back."""
    return textwrap.wrap(
        field, _WIDTH, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False
    )


def _span(seconds: float) -> str:
    """A length of time in the largest unit that it holds at least twice, or once exactly."""
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
        if seconds == unit:
            return f"1 {name[:-1]}"
    return f"{seconds:.3g} seconds"


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
