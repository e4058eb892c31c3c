"""Message content between 354 and its final dot (RFC 5321, 4.1.1.4 and 4.5.2).

Only CRLF.CRLF ends a message. What other programs might take for that, such as LF.LF, LF.CRLF or
CR.CR, is content; and since a peer may have been led to send it as such (SMTP smuggling), content
with any bare CR or LF is refused after its end. RFC 5321, 2.3.8: CR and LF occur as CRLF only.
"""

import io
from typing import Final

from mta.proto.smtp.buffer import ReceiveBuffer
from mta.proto.status import Status

__all__ = ["ContentDecoder"]

_DOT: Final = b"\r\n."
_END: Final = b"\r\n.\r\n"

_BARE: Final = Status(550, "5.6.0", "Error: bare <CR> or bare <LF> in message content")
_TOO_BIG: Final = Status(552, "5.3.4", "Error: message size exceeds fixed limit")
_LONG_LINE: Final = Status(550, "5.6.0", "Error: line too long in message content")


class ContentDecoder:
    """Takes one message out of a buffer; `complete` when its end was seen.

    Limits are in octets: `size_limit` of the message with CRLF and without stuffed dots (RFC 1870),
    `line_limit` of a line with its CRLF.
    """

    __slots__ = (
        "_column",
        "_leading",
        "_line_ends",
        "_line_limit",
        "_long_line",
        "_size_limit",
        "complete",
        "size",
    )

    def __init__(self, buffer: ReceiveBuffer, size_limit: int, line_limit: int) -> None:
        # The CRLF of the DATA line counts: content may begin with a dot, or be nothing but the end.
        buffer.insert(b"\r\n")
        self._leading = 2
        self._size_limit = size_limit
        self._line_limit = line_limit
        self._column = 0
        self._line_ends = io.IncrementalNewlineDecoder(None, translate=False)
        self._long_line = False
        self.size = 0
        self.complete = False

    @property
    def fault(self) -> Status | None:
        """Why the message is refused; the same one however the network cuts its octets."""
        if self._line_ends.newlines not in (None, "\r\n"):
            return _BARE
        if self.size > self._size_limit:
            return _TOO_BIG
        return _LONG_LINE if self._long_line else None

    def decode(self, buffer: ReceiveBuffer) -> bytes:
        """Consume what can be told apart from the end; return it with dots unstuffed."""
        data, start = buffer.data, buffer.position
        dot = data.find(_DOT, start)  # nearly always the one search: few lines begin with a dot
        end = data.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            self.complete = True
            stop = end + 2
            buffer.position = end + 5
        else:
            stop = buffer.position = len(data) - _possible_end(data, start)
        octets = data[start:stop]
        self._inspect(octets)
        if 0 <= dot <= stop - len(_DOT):
            octets = octets.replace(_DOT, b"\r\n")
        if self._leading and octets:
            octets = octets[self._leading :]
            self._leading = 0
        self.size += len(octets)
        return octets

    def _inspect(self, octets: bytes) -> None:
        """Look for what makes the message unacceptable: bare line ends, and lines too long.

        Which line ends there are, the reader of text files sees faster than any other search.
        """
        self._line_ends.decode(octets.decode("latin-1"))
        length = len(octets)
        line = -self._column  # where the line begins: in what came before, if negative
        while not self._long_line and length - line > self._line_limit:
            newline = octets.rfind(b"\n", max(line, 0), line + self._line_limit)
            if newline < 0:
                self._long_line = True
            line = newline + 1
        newline = octets.rfind(b"\n")
        self._column = length - newline - 1 if newline >= 0 else self._column + length


def _possible_end(data: bytes, start: int) -> int:
    """How many octets at the end of the data may begin CRLF.CRLF."""
    for length in (4, 3, 2, 1):
        if data.endswith(_END[:length], start):
            return length
    return 0
