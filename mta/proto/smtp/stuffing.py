"""Message content on its way to a server (RFC 5321, 4.5.2): chunks of any cut -> octets for DATA.

The law: CR and LF go over the wire as CRLF only, and CRLF.CRLF only at the end, whatever the
content was; so no server can find the end of a message, or a command, within it (SMTP smuggling).

    in the content    on the wire
    CRLF              CRLF
    LF alone          CRLF: it is a line end, as UNIX has them
    CR alone          a space: it was no line end to whoever looked at the message before us, and
                      must not become one that makes a header field of a header's text
    "." first         ".."
    end               CRLF unless it ends with one, "." and CRLF

The queue's content has no CR or LF alone; but a queue file is gossip.
"""

__all__ = ["DotStuffer"]


class DotStuffer:
    """The transformation of one message; holds at most one octet back."""

    __slots__ = ("_at_line_start", "_held")

    def __init__(self) -> None:
        self._held = b""  # a CR whose LF may still come
        self._at_line_start = True

    def stuff(self, chunk: bytes) -> bytes:
        """The wire form of the next chunk; empty if it is held back."""
        data = self._held + chunk if self._held else chunk
        self._held = b""
        if data.endswith(b"\r"):
            self._held = b"\r"
            data = data[:-1]
        return self._convert(data) if data else b""

    def finish(self) -> bytes:
        """What is left, and the end of the message."""
        rest = self._convert(self._held) if self._held else b""
        self._held = b""
        return rest + (b".\r\n" if self._at_line_start else b"\r\n.\r\n")

    def _convert(self, data: bytes) -> bytes:
        """The data have no CR at the end that might belong to a CRLF."""
        lines = data.replace(b"\r\n", b"")  # faster than counting: count() of one octet is slow
        if b"\n" in lines or b"\r" in lines:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")
        stuffed = data.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and data.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = data.endswith(b"\r\n")
        return stuffed
