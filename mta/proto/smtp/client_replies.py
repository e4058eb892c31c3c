"""Replies as a client reads them (RFC 5321, 4.2): octets to replies, and a reply to a status.

    Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF

What a server says is gossip: a reply is bounded in octets, all of its lines have one code, and none
holds a NUL or a bare CR. Deviation: a bare LF ends a line of a reply, too, as Postfix has it; here
it can hide nothing, for whatever follows is a reply all the same.
"""

import re
from typing import Final

from msgspec import Struct

from mta.proto.status import Status

__all__ = ["Reply", "ReplyError", "ReplyParser", "status_of"]

REPLY_LIMIT: Final = 16384  # octets of one reply
LINE_LIMIT: Final = 2048  # octets of one line: four times what RFC 5321, 4.5.3.1.5, allows
TEXT_LIMIT: Final = 512  # characters of a status

_LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\0\r]*+))?")
_ENHANCED: Final = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s|\Z)", re.ASCII)
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_QUOTED: Final = 80  # octets of a malformed line that an error shows


class ReplyError(ValueError):
    """What came is no reply; the text says why."""


class Reply(Struct, frozen=True):
    """One reply: its code, and the text of each line in printable ASCII."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All lines as one."""
        return " ".join(line for line in self.lines if line)


class ReplyParser:
    """Cuts what a server sends into replies; holds one incomplete reply at most."""

    __slots__ = ("_code", "_lines", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0  # of the reply whose lines are coming
        self._lines: list[str] = []
        self._size = 0  # octets of those lines

    def __len__(self) -> int:
        return len(self._rest) + self._size

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are complete now; ReplyError if this is not what a server says."""
        *lines, self._rest = (self._rest + data if self._rest else data).split(b"\n")
        replies = []
        for line in lines:
            reply = self._take(line.removesuffix(b"\r"))
            if reply is not None:
                replies.append(reply)
        if len(self._rest) > LINE_LIMIT:
            raise ReplyError(f"a reply line of more than {LINE_LIMIT} octets")
        return replies

    def _take(self, line: bytes) -> Reply | None:
        """The reply that this line completes."""
        self._size += len(line)
        if len(line) > LINE_LIMIT or self._size > REPLY_LIMIT:
            raise ReplyError(f"a reply of more than {min(self._size, REPLY_LIMIT)} octets")
        found = _LINE.fullmatch(line)
        if found is None:
            raise ReplyError(f"malformed reply: {_printable(line[:_QUOTED])}")
        code = int(found[1])
        if self._lines and code != self._code:
            raise ReplyError(f"a reply of two codes: {self._code} and {code}")
        self._code = code
        self._lines.append(_printable(found[3] or b"").strip())
        if found[2] == b"-":
            return None
        reply = Reply(code, tuple(self._lines))
        self._lines, self._size = [], 0
        return reply


def status_of(reply: Reply, peer: str, command: str) -> Status:
    """The status that a server's reply to a command means.

    Its enhanced code is the server's where that agrees with the reply (RFC 2034, 4). The text is
    what Postfix makes of it; a 3yz reply that is not wanted is a temporary failure.
    """
    found = _ENHANCED.match(reply.text)
    said = f"{reply.code} {reply.text}".rstrip()
    if 200 <= reply.code < 300:
        enhanced = found[1] if found and found[1][0] == "2" else "2.0.0"
        return Status(reply.code, enhanced, said[:TEXT_LIMIT])
    code = reply.code if reply.code >= 400 else 451
    enhanced = found[1] if found and found[1][0] == str(code)[0] else f"{code // 100}.0.0"
    tail = f" (in reply to {command})"
    text = f"host {peer} said: {said}"[: TEXT_LIMIT - len(tail)] + tail
    return Status(code, enhanced, text)


def _printable(text: bytes) -> str:
    return _UNPRINTABLE.sub(" ", text.decode("ascii", "backslashreplace"))
