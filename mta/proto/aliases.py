r"""What an alias or a .forward file leads to (aliases(5)): text to targets and back.

    user@example.org  user      an address; <user@example.org> and (comments) as in RFC 5322
    \user                       the mailbox of a user, with no alias and no .forward looked at
    |command  "|command args"   a command
    /path  "/path with spaces"  a file, or a Maildir where it ends in a slash
    :include:/path              a file of further targets

Targets are parted by commas and by line ends. Nothing is malformed: like Postfix, a quoted string
without an end goes on to the end of its line, and what makes no sense is an address that nobody
has. `str()` of a target is a text that means the same.
"""

import enum
import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

__all__ = ["Target", "TargetKind", "parse_lines", "parse_targets"]

_INCLUDE: Final = ":include:"
# Each alternative begins with another character, so that a text costs one pass.
_PIECE: Final = re.compile(
    r"""(?P<quoted> " (?: [^"\\] | \\. )* (?: "|\\?\Z) ) | (?P<pair> \\. ) | (?P<comma> , )
    | (?P<comment> \( ) | (?P<text> [^"\\,(]+ | \\ )""",
    re.VERBOSE | re.DOTALL,
)
_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL: Final = re.compile(r'(["\\])')
_ROUTE: Final = re.compile(r'<(?P<address>(?:"(?:[^"\\]|\\.)*"|[^"<>])*)>\s*\Z', re.DOTALL)
_BARE_PATH: Final = re.compile(r"[^\s\"\\,()#<>]+")


class TargetKind(enum.Enum):
    """What is done with mail for a target."""

    ADDRESS = "address"
    MAILBOX = "mailbox"  # \user
    COMMAND = "command"
    FILE = "file"
    INCLUDE = "include"


class Target(Struct, frozen=True):
    """One target; `text` is the address as it is written, or what follows the mark of its kind."""

    kind: TargetKind
    text: str

    def __str__(self) -> str:
        match self.kind:
            case TargetKind.ADDRESS:
                return self.text
            case TargetKind.MAILBOX:
                return f"\\{self.text}"
            case TargetKind.COMMAND:
                return _quoted(f"|{self.text}")
            case TargetKind.FILE:
                return self.text if _BARE_PATH.fullmatch(self.text) else _quoted(self.text)
            case TargetKind.INCLUDE:
                text = _INCLUDE + self.text
                return text if _BARE_PATH.fullmatch(text) else _quoted(text)


def parse_targets(text: str) -> tuple[Target, ...]:
    """The targets of an alias's value, in their order."""
    return tuple(target for raw, plain in _items(text) if (target := _target(raw, plain)))


def parse_lines(content: bytes) -> tuple[Target, ...]:
    """The targets of a .forward or :include: file; a line that begins with # is a comment."""
    lines = content.decode(errors="replace").splitlines()
    return tuple(
        target for line in lines if not line.startswith("#") for target in parse_targets(line)
    )


def _items(text: str) -> Iterator[tuple[str, str]]:
    """Each item between commas: as it is written, and without quotes; comments left out."""
    raw = plain = ""
    position = 0
    while position < len(text):
        match = _PIECE.match(text, position)
        assert match is not None  # one alternative takes any character
        position = match.end()
        if match["comma"]:
            yield raw.strip(), plain.strip()
            raw = plain = ""
        elif match["comment"] and not plain.lstrip().startswith(("|", "/")):
            position = _after_comment(text, position)
        else:
            raw += match[0]
            plain += _unquoted(match)
    yield raw.strip(), plain.strip()


def _unquoted(match: re.Match[str]) -> str:
    if match["quoted"]:
        return _PAIR.sub(r"\1", match[0][1:].removesuffix('"'))
    return match[0]


def _after_comment(text: str, position: int) -> int:
    """Where the comment ends that begins before the position; comments nest (RFC 5322, 3.2.2)."""
    depth = 1
    while position < len(text) and depth:
        character = text[position]
        if character == "\\":
            position += 1
        elif character in "()":
            depth += 1 if character == "(" else -1
        position += 1
    return position


def _target(raw: str, plain: str) -> Target | None:
    if not raw:
        return None
    if plain.startswith("|"):
        return Target(TargetKind.COMMAND, plain[1:].strip())
    if plain.startswith("/"):
        return Target(TargetKind.FILE, plain)
    if plain[: len(_INCLUDE)].lower() == _INCLUDE:
        return Target(TargetKind.INCLUDE, plain[len(_INCLUDE) :].strip())
    if raw.startswith("\\"):
        return Target(TargetKind.MAILBOX, raw[1:])
    route = _ROUTE.search(raw)
    return Target(TargetKind.ADDRESS, (route and route["address"].strip()) or raw)


def _quoted(text: str) -> str:
    return '"' + _SPECIAL.sub(r"\\\1", text) + '"'
