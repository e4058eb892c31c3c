r"""Bracket expressions of POSIX (regex(7)), written as PCRE2 wants them.

Between brackets a backslash is a character like others; `]` comes first, `-` first or last; classes
are [:alpha:] and so on; [.x.] and [=x=] are x, as in the locale of C.
"""

import re
from typing import Final

from mta.lookup.escapes import ExpressionError, literal

__all__ = ["bracket_expression"]

_SPECIAL: Final = re.compile(
    r"\[(?: :(?P<name>[a-z]+):\] | ([.=])(?P<one>.)\2\] )", re.VERBOSE | re.DOTALL
)
_SPECIAL_START: Final = ("[:", "[.", "[=")


def bracket_expression(pattern: str, start: int, *, multiline: bool) -> tuple[str, int]:
    """The expression that starts with the bracket at `start`, for PCRE2, and where it ends.

    `multiline`: one that lists what does not match leaves newlines out as well.
    """
    position = start + 1
    negated = pattern.startswith("^", position)
    position += negated
    parts = ["[^" if negated else "[", r"\n" if negated and multiline else ""]
    first = True
    while first or not pattern.startswith("]", position):
        first = False
        text, position, single = _element(pattern, position, start)
        parts.append(text)
        if pattern.startswith("-", position) and not pattern.startswith("-]", position):
            if not single:
                raise ExpressionError(position, "expected a character before -, or - at the end")
            text, end, single = _element(pattern, position + 1, start)
            if not single:
                raise ExpressionError(position + 1, "expected a character after -")
            parts.append(f"-{text}")
            position = end
    return "".join(parts) + "]", position + 1


def _element(pattern: str, position: int, start: int) -> tuple[str, int, bool]:
    """What is at the position, where it ends, and whether it is a single character."""
    if position >= len(pattern):
        raise ExpressionError(start, "expected a closing bracket for this one")
    match = _SPECIAL.match(pattern, position)
    if match is None:
        if pattern.startswith(_SPECIAL_START, position):
            raise ExpressionError(position, "expected [:CLASS:], [.CHARACTER.] or [=CHARACTER=]")
        return literal(pattern[position]), position + 1, True
    if match["one"]:
        return literal(match["one"]), match.end(), True
    return match[0], match.end(), False
