"""The mail of a recording: letters of every kind, each of which can be known again and be checked.

kind      recipients
local     a mailbox that others use, too
fresh     a mailbox that nobody used; four letters for it are sent at once
relayed   the next host takes it
later     the next host refuses it at first (450)
gone      the next host refuses it for good; the sender, who has a mailbox here, is told
many      mailboxes old and new, the next host, and one that bounces
large     a mailbox and the next host; more than is held in memory

A letter's header has its mark and the digest of its body, so a copy is judged by itself.
"""

import hashlib
import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from support.instance import DOMAIN

__all__ = ["ELSEWHERE", "Letter", "Mark", "Report", "kinds", "make_letters", "recognised"]

ELSEWHERE: Final = "elsewhere.example"
_LARGE: Final = 300_000  # octets
_FRESH: Final = 4  # letters for one new mailbox
_ROUND: Final = ("local", "relayed", "later", "gone", "many", "large")

_MARK: Final = re.compile(rb"^X-Mark: (\S+) ([0-9a-f]{32})$", re.MULTILINE)
_RECIPIENT: Final = re.compile(rb"^Final-Recipient: rfc822; *(\S+)$", re.MULTILINE)
_BOUNDARY: Final = re.compile(rb'boundary="?([^"\s;]+)"?')
_DELIVERED: Final = re.compile(rb"^Delivered-To: (\S+)$", re.MULTILINE)
_IDENTITY: Final = re.compile(rb"^Message-ID: *(\S+)$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Letter:
    """One message to be sent."""

    mark: str
    kind: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(frozen=True)
class Mark:
    """A whole copy of a letter."""

    mark: str
    recipient: str  # by its Delivered-To; empty where it has none


@dataclass(frozen=True)
class Report:
    """A whole report on a letter."""

    mark: str
    recipients: frozenset[str]  # those of whom it tells
    identity: str


def make_letters(source: random.Random, count: int) -> list[Letter]:
    """So many letters, of all kinds if there are ten; those for one new mailbox are together."""
    made: list[Letter] = []
    group = 0
    while len(made) < count:
        for _ in range(_FRESH):
            made.append(_letter(source, len(made), "fresh", (f"fresh{group}@{DOMAIN}",)))
        made += [_of_kind(source, len(made) + place, kind) for place, kind in enumerate(_ROUND)]
        group += 1
    return made[:count]


def kinds(letters: list[Letter]) -> Counter[str]:
    """How many there are of each kind."""
    return Counter(letter.kind for letter in letters)


def _of_kind(source: random.Random, number: int, kind: str) -> Letter:
    local = f"box{source.randrange(6)}@{DOMAIN}"
    away = f"taken{number}@{ELSEWHERE}"
    gone = f"gone{number}@{ELSEWHERE}"
    recipients = {
        "local": (local,),
        "relayed": (away,),
        "later": (f"later{number}@{ELSEWHERE}",),
        "gone": (gone,),
        "many": (*(f"box{box}@{DOMAIN}" for box in range(6)), f"one{number}@{DOMAIN}", away, gone),
        "large": (local, away),
    }[kind]
    return _letter(source, number, kind, recipients)


def _letter(source: random.Random, number: int, kind: str, recipients: tuple[str, ...]) -> Letter:
    mark = f"{kind}-{number}"
    size = _LARGE if kind == "large" else source.choice((60, 700, 5000, 9000))
    lines = [source.randbytes(30).hex().encode() for _ in range(size // 62 + 1)]
    body = b"\n".join(lines) + b"\n"
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    text = f"Subject: {mark}\nX-Mark: {mark} {digest}\n\n".encode() + body
    sender = f"sender{number % 3}@{DOMAIN}"
    return Letter(mark, kind, sender, recipients, text.replace(b"\n", b"\r\n"))


def recognised(copy: bytes) -> Mark | Report | None:
    """What a copy is, in a mailbox or at the next host; None if it is not whole, or not ours."""
    text = copy.replace(b"\r\n", b"\n")
    header, _, body = text.partition(b"\n\n")
    if not (mark := _MARK.search(text)):
        return None
    if not _MARK.search(header):
        return _report(header, text, mark[1].decode())
    if hashlib.blake2b(body, digest_size=16).hexdigest().encode() != mark[2]:
        return None
    delivered = _DELIVERED.search(header)
    return Mark(mark[1].decode(), delivered[1].decode() if delivered else "")


def _report(header: bytes, text: bytes, mark: str) -> Report | None:
    boundary = _BOUNDARY.search(header)
    identity = _IDENTITY.search(header)
    if boundary is None or identity is None:
        return None
    if not text.rstrip(b"\n").endswith(b"--" + boundary[1] + b"--"):
        return None
    told = frozenset(found.decode() for found in _RECIPIENT.findall(text))
    return Report(mark, told, identity[1].decode())
