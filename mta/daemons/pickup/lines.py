"""Line ends: CRLF, and neither octet without the other (RFC 5321, 2.3.8).

A bare LF is a line end, as everywhere on this host; a bare CR, which others might take for one,
becomes a space.
"""

__all__ = ["LineEnds"]


class LineEnds:
    """Content in pieces of any size, with its line ends put right."""

    def __init__(self) -> None:
        self._held = b""  # a CR whose LF may follow
        self._ended = True  # the last line, so far

    def feed(self, data: bytes) -> bytes:
        """The next piece."""
        if not data:
            return b""
        data = self._held + data
        self._held = b"\r" if data.endswith(b"\r") else b""
        data = data[: len(data) - len(self._held)]
        pairs = data.count(b"\r\n")
        if not pairs == data.count(b"\n") == data.count(b"\r"):
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")
        if data:
            self._ended = data.endswith(b"\n")
        return data

    def end(self) -> bytes:
        """What the last line lacks."""
        return b"" if self._ended and not self._held else b"\r\n"
