"""Replies as they go over the wire (RFC 5321, 4.2), and those that the engine itself gives.

    Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
    textstring = 1*(%d09 / %d32-126)

RFC 2034, 4: every line of a 2yz, 4yz or 5yz reply begins with its enhanced status code; a 3yz
reply, the greeting and the answers to HELO and EHLO have none.
"""

import functools
import re
from typing import Final

from mta.proto.status import Status

__all__ = [
    "ACCEPTED_RECIPIENT",
    "ACCEPTED_SENDER",
    "LINE_LIMIT",
    "READY_FOR_TLS",
    "START_CONTENT",
    "encode",
    "encode_bare",
    "extensions",
    "queued",
]

LINE_LIMIT: Final = 512  # octets of one reply line, CRLF included (4.5.3.1.5)
_UNPRINTABLE: Final = re.compile(r"[^\t\x20-\x7e]")

ACCEPTED_SENDER: Final = Status(250, "2.1.0", "Ok")
ACCEPTED_RECIPIENT: Final = Status(250, "2.1.5", "Ok")
READY_FOR_TLS: Final = Status(220, "2.0.0", "Ready to start TLS")
START_CONTENT: Final = Status(354, "", "End data with <CR><LF>.<CR><LF>")


@functools.lru_cache(maxsize=64)  # most replies are one of few
def encode(status: Status) -> bytes:
    """The reply for a status; a line feed in its text begins another reply line.

    Nothing that the text holds can become a reply of its own: other characters than printable
    ASCII are replaced.
    """
    enhanced = f"{status.enhanced} " if status.enhanced else ""
    text = status.text
    if len(text) < 480 and text.isascii() and text.isprintable():
        return f"{status.code} {enhanced}{text}\r\n".encode()
    return _encode_lines(status.code, enhanced, text.split("\n"))


@functools.lru_cache(maxsize=16)
def encode_bare(code: int, *lines: str) -> bytes:
    """A reply without an enhanced status code: the greeting, and answers to HELO and EHLO."""
    return _encode_lines(code, "", list(lines))


@functools.lru_cache(maxsize=16)
def extensions(hostname: str, size_limit: int, starttls: bool) -> bytes:
    """The answer to EHLO (RFC 5321, 4.1.1.1): who we are and what we offer."""
    return encode_bare(
        250,
        hostname,
        "PIPELINING",  # RFC 2920
        f"SIZE {size_limit}",  # RFC 1870
        *(("STARTTLS",) if starttls else ()),  # RFC 3207
        "ENHANCEDSTATUSCODES",  # RFC 2034
        "8BITMIME",  # RFC 6152
    )


def queued(queue_id: str) -> Status:
    """The message is ours from now on."""
    return Status(250, "2.0.0", f"Ok: queued as {queue_id}")


def _encode_lines(code: int, enhanced: str, lines: list[str]) -> bytes:
    room = LINE_LIMIT - len(f"{code} {enhanced}\r\n")
    safe = [_UNPRINTABLE.sub("?", line) for line in lines]
    pieces = [
        line[start : start + room] for line in safe for start in range(0, len(line) or 1, room)
    ]
    wire = "".join(f"{code}-{enhanced}{piece}\r\n" for piece in pieces[:-1])
    return f"{wire}{code} {enhanced}{pieces[-1]}\r\n".encode()
