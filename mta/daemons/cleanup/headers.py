"""The third stage: the header section, judged before a single octet goes to the disk.

What is put before the message: Received always; Date and Message-ID if it has none. The message
itself stays as it is, but for an empty line where header and body are not parted by one, and for
the addresses that rewriting.py changes.
"""

import time

from mta.config.parameters import Parameters
from mta.proto.envelope import Envelope
from mta.proto.headers import HeaderScanner, format_date, message_id, received_field
from mta.proto.status import permanent

__all__ = ["HeaderStage"]


class HeaderStage:
    """The header section of one message; holds all content until the section is complete."""

    def __init__(self, parameters: Parameters, queue_id: str) -> None:
        self._parameters = parameters
        self._queue_id = queue_id
        self._scanner = HeaderScanner()

    @property
    def message_id(self) -> str:
        """The message's own id, or the one it was given, without angle brackets."""
        return self._scanner.message_id

    @property
    def section(self) -> bytes:
        """The header section as it came, once it is complete."""
        return self._scanner.section

    def add(self, content: bytes) -> bool:
        """Take content; True once the header section is complete.

        A permanent MailError when it is too large or tells of a loop.
        """
        complete = self._scanner.feed(content)
        if complete:
            self._judge(len(self._scanner.section))
        else:
            self._judge_size(self._scanner.size)
        return complete

    def end(self) -> None:
        """The content is over; a permanent MailError as with `add`."""
        self._scanner.end()
        self._judge(len(self._scanner.section))

    def opening(self, envelope: Envelope, section: bytes) -> list[bytes]:
        """The content up to where it is now, our own fields first.

        `envelope` is the one that came, for the trace tells of that and names nobody whom aliases
        and copies added; `section` stands in for the one that came.
        """
        scanner = self._scanner
        hostname = self._parameters.myhostname
        offset = time.localtime(envelope.arrived).tm_gmtoff
        date = format_date(envelope.arrived, offset)
        prefix = received_field(
            envelope.origin, hostname, self._queue_id, envelope.recipients, date
        )
        if not scanner.has_date:
            prefix += f"Date: {date}\r\n".encode("ascii")
        if not scanner.has_message_id:
            scanner.message_id = message_id(self._queue_id, hostname)
            prefix += f"Message-ID: <{scanner.message_id}>\r\n".encode("ascii")
        pieces = (prefix, section, scanner.separator, scanner.rest)
        return [piece for piece in pieces if piece]

    def _judge(self, size: int) -> None:
        self._judge_size(size)
        # Our own Received field is about to be one more (RFC 5321, 6.3).
        if self._scanner.received_count >= self._parameters.hopcount_limit:
            permanent("5.4.6", "Too many hops", code=554)

    def _judge_size(self, size: int) -> None:
        if size > self._parameters.header_size_limit:
            permanent("5.3.4", "Header section too large", code=552)
