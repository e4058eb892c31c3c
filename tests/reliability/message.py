"""A message that can be told from all others, and tells whether it is whole.

Its Subject is its mark; a field holds size and checksum of its body, whatever line ends that has
by then. A report on it (RFC 3464) has its header section in the last part.
"""

import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Seen", "make_message", "marks_reported", "read_message"]

_FIELD: Final = "X-Proof"
_HEADS: Final = re.compile(rb"\r?\n\r?\n")
_MARK: Final = re.compile(rb"^Subject: ([\w.-]+)\r?$", re.MULTILINE)
_PROOF: Final = re.compile(rb"^X-Proof: (\d+) (\d+)\r?$", re.MULTILINE)
_FAILED: Final = re.compile(rb"^Final-Recipient: rfc822; *(\S+?)\r?$", re.MULTILINE | re.IGNORECASE)
_WORDS: Final = ("post", "house", "relay", "rider", "horse", "letter", "road", ".", "..", "From ")


@dataclass(frozen=True)
class Seen:
    """A message as it arrived."""

    mark: str
    whole: bool


def make_message(mark: str, size: int, source: random.Random) -> bytes:
    """A message of about that many octets of body, with line ends CRLF; dots are not stuffed."""
    paragraph = "".join(
        " ".join(source.choices(_WORDS, k=source.randint(1, 12))) + "\r\n" for _ in range(20)
    ).encode()
    body = paragraph * max(1, round(size / len(paragraph)))
    return (
        f"Subject: {mark}\r\n{_FIELD}: {len(_plain(body))} {zlib.crc32(_plain(body))}\r\n"
        f"From: {mark}@client.test\r\n\r\n"
    ).encode() + body


def read_message(octets: bytes) -> Seen | None:
    """What arrived; None if it is none of ours, such as a report."""
    border = _HEADS.search(octets)
    header = octets[: border.start() + 1] if border else octets
    mark, proof = _MARK.search(header), _PROOF.search(header)
    if not mark or not proof:
        return None
    body = _plain(octets[border.end() :]) if border else b""
    whole = (len(body), zlib.crc32(body)) == (int(proof[1]), int(proof[2]))
    return Seen(mark[1].decode(), whole)


def marks_reported(octets: bytes) -> Iterator[tuple[str, str]]:
    """The mark and each recipient that a report tells of."""
    if b"multipart/report" not in octets:
        return
    original = (
        octets.rpartition(b"text/rfc822-headers")[2] or octets.rpartition(b"message/rfc822")[2]
    )
    mark = _MARK.search(original)
    if mark:
        for recipient in _FAILED.findall(octets):
            yield mark[1].decode(), recipient.decode()


def _plain(body: bytes) -> bytes:
    return body.replace(b"\r\n", b"\n")
