"""Replies as a client reads them (RFC 5321, 4.2): octets -> code and text, or a protocol error.

A reply is lines of one code, "-" behind it in all but the last; a code alone is a whole line, too.
What a reply may cost is bounded, whatever the server sends. Text is made printable ASCII.

Known deviation: a bare LF ends a line as CRLF does, for the sake of servers that exist. Here it is
harmless: no message goes in this direction, and no command of ours holds a line end that a server
could send back, so that a server can mislead nobody but about its own answers.
"""

import re
from typing import Final

from msgspec import Struct

__all__ = ["LINES_LIMIT", "LINE_LIMIT", "REPLY_LIMIT", "MalformedReply", "Reply", "ReplyParser"]

LINE_LIMIT: Final = 2048  # octets, line end included; 512 by RFC 5321, 4.5.3.1.5
LINES_LIMIT: Final = 128  # lines of one reply
REPLY_LIMIT: Final = 32768  # octets of one reply

# Reply-code = %x32-35 %x30-35 %x30-39; the second digit is taken as it comes.
_CODES: Final = {b"%d" % code: code for code in range(200, 600)}
# Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
_MARKS: Final = frozenset((b"", b" ", b"-"))
# status-code = ("2" / "4" / "5") "." 1*3digit "." 1*3digit   (RFC 3463, 2; RFC 2034, 4)
_ENHANCED: Final = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |\Z)")

_PRINTABLE: Final = bytes(
    octet if 32 <= octet < 127 else ord(" ") if octet == ord("\t") else ord("?")
    for octet in range(256)
)


class MalformedReply(ValueError):  # noqa: N818 - what came, not what we did
    """The server did not send a reply; nothing that follows can be understood."""


class Reply(Struct, frozen=True):
    """One reply: its code from 200 to 599 and the text of each of its lines."""

    code: int
    lines: tuple[str, ...]

    @property
    def enhanced(self) -> str:
        """The enhanced code of a 2yz, 4yz or 5yz reply: the server's if it is of that class.

        Otherwise X.0.0: a server that gives no reason leaves none to be guessed (RFC 3463, 3.1).
        """
        kind = self.code // 100
        found = _ENHANCED.match(self.lines[0])
        if found is not None and int(found[1]) == kind:
            return found[0]
        return f"{kind}.0.0"

    def __str__(self) -> str:
        """Code and text in one line; an enhanced code that all lines bear is told once."""
        first, *others = self.lines
        if not others:
            return f"{self.code} {first}".rstrip()
        found = _ENHANCED.match(first)
        repeated = f"{found[0]} " if found is not None else ""
        text = " ".join((first, *(line.removeprefix(repeated) for line in others)))
        return f"{self.code} {text}".rstrip()


class ReplyParser:
    """Takes replies out of what came; holds at most one incomplete reply beyond that."""

    __slots__ = ("_code", "_data", "_lines", "_position", "_size")

    def __init__(self) -> None:
        self._data = b""
        self._position = 0
        self._code = 0  # of the reply of which `_lines` have come
        self._lines: list[str] = []
        self._size = 0  # octets of these lines

    def __len__(self) -> int:
        """Octets of what is incomplete, or not taken yet."""
        return self._size + len(self._data) - self._position

    def append(self, data: bytes) -> None:
        """Take what the network brought; any division of the octets means the same."""
        rest = self._data[self._position :]
        self._data = rest + data if rest else data
        self._position = 0

    def take(self) -> Reply | None:
        """The next reply, or None if it is not complete; MalformedReply."""
        while (line := self._take_line()) is not None:
            code, mark = _CODES.get(line[:3]), line[3:4]
            if code is None or mark not in _MARKS:
                raise MalformedReply(f"expected a reply code, got {_shown(line)}")
            if self._lines and code != self._code:
                raise MalformedReply(f"the code changes from {self._code} within a reply")
            self._code = code
            self._lines.append(line[4:].translate(_PRINTABLE).decode("ascii"))
            if mark != b"-":
                reply = Reply(code, tuple(self._lines))
                self._lines.clear()
                self._size = 0
                return reply
            if len(self._lines) >= LINES_LIMIT:
                raise MalformedReply(f"a reply of more than {LINES_LIMIT} lines")
        return None

    def _take_line(self) -> bytes | None:
        data, start = self._data, self._position
        newline = data.find(b"\n", start, start + LINE_LIMIT)
        if newline < 0:
            if len(data) - start >= LINE_LIMIT:
                raise MalformedReply(f"a line of more than {LINE_LIMIT} octets")
            return None
        self._position = newline + 1
        self._size += newline + 1 - start
        if self._size > REPLY_LIMIT:
            raise MalformedReply(f"a reply of more than {REPLY_LIMIT} octets")
        line = data[start : newline - data.endswith(b"\r", start, newline)]
        if b"\0" in line:
            raise MalformedReply("NUL in a reply")
        return line


def _shown(line: bytes) -> str:
    """The beginning of a line, for people."""
    return repr(line[:40].translate(_PRINTABLE).decode("ascii"))
