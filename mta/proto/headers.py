"""The header section of a message: where it ends, what it holds, what we put before it.

    header field   1*ftext ":" ... CRLF, then lines that begin with a space or tab (RFC 5322, 2.2)

The section ends at an empty line; or, as in Postfix, before the first line that is no header
field, and then an empty line is missing: `HeaderScanner.separator` is what must be put in there. A
message may have no header at all. Only CRLF ends a line. Nothing else of the message changes; our
own fields go before it.
"""

import re
import time
from collections.abc import Sequence
from typing import Final

from mta.proto.envelope import LOCAL, Origin, Recipient

__all__ = ["HeaderScanner", "format_date", "message_id", "received_field"]

# RFC 5322, 3.6.8: ftext is printable US-ASCII except ":"; 4.5: white space may precede the colon.
# The groups are the fields that matter here.
_FIELD_START: Final = re.compile(
    rb"(?:(received)|(date)|(message-id)|[!-9;-~]++)[ \t]*+:", re.IGNORECASE
)
_MESSAGE_ID_VALUE: Final = re.compile(rb"(?:[ \t]|\r\n[ \t])*+<?+([^\s<>]{0,998})")
_CRLF: Final = b"\r\n"
_CONTINUATION: Final = b" \t"

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
# What a client says of itself is quoted as far as it can be part of a domain or an address literal.
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9.:_\[\]-]")


class HeaderScanner:
    """Gathers content until the header section is complete; reads the fields that matter here.

    Feed it the content in pieces; `feed` returns True once the section has been seen whole, `end`
    says that no more content comes. Then `section` is the header section with its empty line if
    there is one, `rest` is the content after it, and the counts are valid.
    """

    def __init__(self) -> None:
        self.section = b""
        self.rest = b""
        self.separator = b""  # what must follow the section: b"" or CRLF
        self.received_count = 0
        self.has_date = False
        self.message_id = ""  # as in the message, without angle brackets
        self.has_message_id = False
        self._gathered = b""
        self._message_id_at = 0  # where the first one's value begins
        self._line = 0  # where the first line begins that has not been judged yet

    @property
    def size(self) -> int:
        """Octets gathered so far: what a limit on the header section is held against."""
        return len(self._gathered)

    def feed(self, data: bytes) -> bool:
        """Take the next piece; True when the section is complete."""
        self._gathered = self._gathered + data if self._gathered else data
        return self._scan(last=False)

    def end(self) -> None:
        """The content is over: what has been gathered is all there is."""
        self._scan(last=True)

    def _scan(self, *, last: bool) -> bool:
        data = self._gathered
        line = self._line
        while (end := data.find(_CRLF, line)) >= 0:
            if end == line:
                return self._complete(end + 2, b"")
            if not self._belongs(line):
                return self._complete(line, _CRLF)
            line = end + 2
        self._line = line
        if not last:
            return False
        if line < len(data) and not self._belongs(line):
            return self._complete(line, _CRLF)
        return self._complete(len(data), b"")

    def _belongs(self, line: int) -> bool:
        """Whether the line is a header field's first, or goes on with one; called once for each."""
        if self._gathered[line] in _CONTINUATION:
            return line > 0
        field = _FIELD_START.match(self._gathered, line)
        if field is None:
            return False
        match field.lastindex:
            case 1:  # Received
                self.received_count += 1
            case 2:  # Date
                self.has_date = True
            case 3 if not self.has_message_id:  # Message-ID
                self.has_message_id = True
                self._message_id_at = field.end()
        return True

    def _complete(self, end: int, separator: bytes) -> bool:
        data = self._gathered
        self.section, self.rest = data[:end], data[end:]
        self.separator = separator
        self._gathered = b""
        if self.has_message_id:
            found = _MESSAGE_ID_VALUE.match(self.section, self._message_id_at)
            self.message_id = found[1].decode("ascii", "replace") if found else ""
        return True


def format_date(when: float, offset: int = 0) -> str:
    """An RFC 5322 date-time (3.3); `when` in seconds since the epoch, `offset` east of UTC."""
    part = time.gmtime(when + offset)
    sign, minutes = "-" if offset < 0 else "+", abs(offset) // 60
    return (
        f"{_DAYS[part.tm_wday]}, {part.tm_mday} {_MONTHS[part.tm_mon - 1]} {part.tm_year:04}"
        f" {part.tm_hour:02}:{part.tm_min:02}:{part.tm_sec:02}"
        f" {sign}{minutes // 60:02}{minutes % 60:02}"
    )


def message_id(queue_id: str, hostname: str) -> str:
    """A message id for a message that has none: the queue id is unique already."""
    return f"{queue_id}@{hostname}"


def received_field(
    origin: Origin, hostname: str, queue_id: str, recipients: Sequence[Recipient], date: str
) -> bytes:
    """The trace field of this hop (RFC 5321, 4.4), with its CRLF.

    A message with several recipients names none of them: they need not know of each other.
    """
    lines = []
    if origin.client_address:
        helo = _NOT_A_NAME.sub("?", origin.helo) or "unknown"
        address = _NOT_A_NAME.sub("?", origin.client_address)
        if ":" in address:
            address = f"IPv6:{address}"
        lines.append(f"from {helo} ([{address}])")
    protocol, by = f" with {origin.protocol}" if origin.protocol else "", "Posthouse"
    if origin.protocol == LOCAL:  # no protocol of the registry that RFC 3848 adds to
        protocol, by = "", f"Posthouse, from userid {_NOT_A_NAME.sub('?', origin.helo)}"
    lines.append(f"by {hostname} ({by}){protocol} id {queue_id}")
    if len(recipients) == 1 and recipients[0].address.isascii() and recipients[0].address:
        lines.append(f"for <{recipients[0].address}>; {date}")
    else:
        lines[-1] += ";"
        lines.append(date)
    folded = "\r\n\t".join(lines)
    return f"Received: {folded}\r\n".encode("ascii")
