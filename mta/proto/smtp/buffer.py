"""Octets that came but are not consumed yet, and command lines out of them.

Only CRLF ends a line. A bare CR or LF is no line end that others might overlook (SMTP smuggling):
the line that holds one is refused.
"""

from typing import Final

from mta.proto.status import MailError, Status

__all__ = ["ReceiveBuffer"]

_TOO_LONG: Final = Status(500, "5.5.2", "Error: command line too long")
_BARE: Final = Status(500, "5.5.2", "Error: bare <CR>, bare <LF> or NUL in command line")


class ReceiveBuffer:
    """Holds at most one incomplete line of `line_limit` octets beyond what was last appended.

    `data[position:]` is what is not consumed; readers advance `position`.
    """

    __slots__ = ("_discarding", "_line_limit", "data", "position")

    def __init__(self, line_limit: int) -> None:
        self.data = b""
        self.position = 0
        self._line_limit = line_limit
        self._discarding = False

    def __len__(self) -> int:
        return len(self.data) - self.position

    def append(self, data: bytes) -> None:
        """Take what the network brought."""
        if self.position == len(self.data):
            self.data = data
        else:
            self.data = self.data[self.position :] + data
        self.position = 0

    def clear(self) -> None:
        """Discard everything."""
        self.data = b""
        self.position = 0

    def insert(self, data: bytes) -> None:
        """Put octets in front of what is not consumed."""
        self.data = data + self.data[self.position :]
        self.position = 0

    def take_line(self) -> bytes | None:
        """Consume one command line and return it without its CRLF; None if it is not complete.

        MailError: the line is too long or holds a bare CR, a bare LF or a NUL; it is consumed.
        """
        data, start = self.data, self.position
        end = data.find(b"\r\n", start)
        if end < 0:
            if len(data) - start > self._line_limit:
                self._discarding = True
                self.position = len(data) - data.endswith(b"\r")  # its LF may still come
            return None
        self.position = end + 2
        if self._discarding or end + 2 - start > self._line_limit:
            self._discarding = False
            raise MailError(_TOO_LONG)
        line = data[start:end]
        if b"\n" in line or b"\r" in line or b"\0" in line:
            raise MailError(_BARE)
        return line
