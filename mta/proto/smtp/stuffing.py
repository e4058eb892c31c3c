"""Message content on its way to a server (RFC 5321, 4.1.1.4 and 4.5.2): dots stuffed, then the end.

The law: CR and LF occur as CRLF only (2.3.8), whatever the content is, and CRLF.CRLF only at the
end. A bare CR or LF is taken for the line end that somebody meant; none should be in the queue.
"""

import re
from typing import Final

__all__ = ["DotStuffer"]

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


class DotStuffer:
    """Turns the content of one message, in pieces, into what goes over the wire."""

    __slots__ = ("_at_line_start", "_held")

    def __init__(self) -> None:
        self._at_line_start = True  # the CRLF of the DATA line counts
        self._held = b""  # a CR whose LF may still come

    def feed(self, content: bytes) -> bytes:
        """The wire form of the next piece of content, as far as it is decided."""
        data = self._held + content if self._held else content
        self._held = b""
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        if not data:
            return b""
        pairs = data.count(b"\r\n")
        if data.count(b"\n") != pairs or data.count(b"\r") != pairs:
            data = _LINE_END.sub(b"\r\n", data)
        if b"\r\n." in data:
            data = data.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and data.startswith(b"."):
            data = b"." + data
        self._at_line_start = data.endswith(b"\r\n")
        return data

    def end(self) -> bytes:
        """What ends the message: its last line end if that is missing, and the final dot."""
        return b".\r\n" if self._at_line_start and not self._held else b"\r\n.\r\n"
