"""Results of patterns: text in which $1, ${1} and $(1) stand for what a group matched, $$ for $."""

import re
from collections.abc import Callable
from typing import Final

from mta.lookup.escapes import ExpressionError
from mta.lookup.table import VALUE_LIMIT

__all__ = ["Parts", "expand", "parse_result"]

Parts = tuple[str | int, ...]  # texts, and numbers of groups

_ITEM: Final = re.compile(
    r"""
    (?P<text> [^$]+ ) | \$ (?: (?P<dollar> \$ )
    | \{ (?P<braced> [^{}]* ) \} | \( (?P<round> [^()]* ) \) | (?P<bare> [0-9A-Za-z_]+ ) )
    """,
    re.VERBOSE | re.DOTALL,
)


def parse_result(text: str, groups: int) -> Parts:
    """The parts of a result, of a pattern with so many groups; ExpressionError says what is wrong.

    As in Postfix, a bare $NAME goes on to the last letter or digit: $1x is no $1.
    """
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = _ITEM.match(text, position)
        if match is None:
            raise ExpressionError(position, "expected $NUMBER, ${NUMBER}, $(NUMBER) or $$")
        if match["text"] or match["dollar"]:
            parts.append(match["text"] or "$")
        else:
            name = match["braced"] or match["round"] or match["bare"] or ""
            parts.append(_number(name, position, groups))
        position = match.end()
    return tuple(parts)


def _number(name: str, position: int, groups: int) -> int:
    if not (name.isascii() and name.isdigit()):
        raise ExpressionError(position, f'expected the number of a group after $, got "{name}"')
    # Longer ones are out of range whatever they are.
    number = int(name[:6])
    if not 1 <= number <= groups:
        has = f"the pattern has {groups}" if groups else "there is none to refer to"
        raise ExpressionError(position, f"expected the number of a group, got {number}: {has}")
    return number


def expand(parts: Parts, group: Callable[[int], str | None]) -> str:
    """The result, with what groups matched; a group that took no part is empty.

    ValueError: it is empty as a whole, or longer than any value.
    """
    result = "".join(it if isinstance(it, str) else group(it) or "" for it in parts)
    if not result:
        raise ValueError("the result is empty")
    if len(result.encode()) > VALUE_LIMIT:
        raise ValueError(f"the result has more than {VALUE_LIMIT} octets")
    return result
