"""What translations of regular expressions share: plain characters, errors with a place."""

import re
from typing import Final

__all__ = ["ExpressionError", "literal", "plain_escapes"]

_ESCAPE: Final = re.compile(
    r"\\(?: Q .*? (?: \\E | \Z ) | x\{ ([0-9A-Fa-f]{1,6}) \} | . )", re.VERBOSE | re.DOTALL
)


class ExpressionError(Exception):
    """A regular expression is wrong; the text is what was expected."""

    def __init__(self, position: int, what: str) -> None:
        super().__init__(what)
        self.position = position  # in the expression, from zero


def literal(character: str) -> str:
    """What matches this character alone in PCRE2, between brackets as well."""
    return character if character.isalnum() or not character.isascii() else f"\\{character}"


def plain_escapes(pattern: str) -> str:
    r"""The pattern with each \x{HH} in the form that remains in PCRE2's manner of JavaScript.

    The library always chooses that manner, in which \x{HH} is no escape.
    """
    return _ESCAPE.sub(_plain_escape, pattern)


def _plain_escape(match: re.Match[str]) -> str:
    if not match[1]:
        return match[0]
    code = int(match[1], 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ExpressionError(match.start(), f"expected a character, got {match[0]}")
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else chr(code)
