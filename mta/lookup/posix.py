r"""POSIX regular expressions (regex(7), with GNU's additions), written as PCRE2 wants them.

What differs: a backslash between brackets is a character; `$` is the end, and never stands before
a last newline; `a+?` repeats twice; `)` alone and `|` with nothing beside it are allowed; `(?` and
`(*` are wrong; the edges of words are \< and \>, those of the text \` and \'. Backslashes before
other letters, which POSIX leaves open, are refused.

Of several ways to match, PCRE takes the first and POSIX the longest: the same keys match, but what
$1 holds may differ.
"""

import re
import string
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from mta.lookup.brackets import bracket_expression
from mta.lookup.escapes import ExpressionError, literal

__all__ = ["to_pcre"]

Kind = Literal["text", "open", "close", "or", "repeat", "edge", "back"]

_ESCAPES: Final[dict[str, tuple[Kind, str]]] = {
    "w": ("text", r"\w"),
    "W": ("text", r"\W"),
    "s": ("text", r"\s"),
    "S": ("text", r"\S"),
    "b": ("edge", r"\b"),
    "B": ("edge", r"\B"),
    "<": ("edge", r"\b(?=\w)"),
    ">": ("edge", r"\b(?<=\w)"),
    "`": ("edge", r"\A"),
    "'": ("edge", r"\z"),
}
_OPERATORS: Final[dict[str, Kind]] = {
    "(": "open",
    ")": "close",
    "|": "or",
    "*": "repeat",
    "+": "repeat",
    "?": "repeat",
    "{": "repeat",
}
_EXTENDED_INTERVAL: Final = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")
_BASIC_INTERVAL: Final = re.compile(r"\\\{([0-9]*)(,?)([0-9]*)\\\}")


class _Token(Struct, frozen=True):
    kind: Kind
    text: str  # as PCRE has it; of a reference, the number of its group
    position: int


def to_pcre(pattern: str, *, basic: bool, multiline: bool) -> str:
    r"""The pattern for PCRE2 with `.` for every character; ExpressionError says what is wrong.

    `basic`: the older syntax, with \( and \). `multiline`: newlines part lines.
    """
    writer = _Writer(basic=basic)
    for token in _tokens(pattern, basic=basic, multiline=multiline):
        writer.add(token)
    return writer.finish()


def _tokens(pattern: str, *, basic: bool, multiline: bool) -> Iterator[_Token]:
    position = 0
    while position < len(pattern):
        start = position
        character = pattern[position]
        position += 1
        escaped = character == "\\"
        if escaped:
            if position == len(pattern):
                raise ExpressionError(start, "expected a character after the backslash")
            character = pattern[position]
            position += 1
        if character in _OPERATORS and escaped == (basic and character != "*"):
            if character == "{":
                text, position = _interval(pattern, start, basic=basic)
                yield _Token("repeat", text, start)
            else:
                yield _Token(_OPERATORS[character], character, start)
        elif escaped:
            yield _escape(character, start)
        elif character == "[":
            text, position = bracket_expression(pattern, start, multiline=multiline)
            yield _Token("text", text, start)
        else:
            yield _unescaped(pattern, start, basic=basic, multiline=multiline)


def _unescaped(pattern: str, position: int, *, basic: bool, multiline: bool) -> _Token:
    character = pattern[position]
    if character == ".":
        return _Token("text", r"[^\n]" if multiline else ".", position)
    if character == "^" and (not basic or _at_start(pattern, position)):
        return _Token("edge", r"(?:\A|(?<=\n))" if multiline else r"\A", position)
    if character == "$" and (not basic or _at_end(pattern, position + 1)):
        return _Token("edge", r"(?=\n|\z)" if multiline else r"\z", position)
    return _Token("text", literal(character), position)


def _at_start(pattern: str, position: int) -> bool:
    return position == 0 or pattern[:position].endswith((r"\(", r"\|"))


def _at_end(pattern: str, position: int) -> bool:
    return position == len(pattern) or pattern.startswith((r"\)", r"\|"), position)


def _escape(character: str, position: int) -> _Token:
    if character in _ESCAPES:
        kind, text = _ESCAPES[character]
        return _Token(kind, text, position)
    if character in string.digits[1:]:
        return _Token("back", character, position)
    if character in string.ascii_letters + "0":
        what = f"expected no backslash before {character}, which has no meaning in POSIX"
        raise ExpressionError(position, what)
    return _Token("text", literal(character), position)


def _interval(pattern: str, start: int, *, basic: bool) -> tuple[str, int]:
    match = (_BASIC_INTERVAL if basic else _EXTENDED_INTERVAL).match(pattern, start)
    if match is None or not (match[1] or match[2]):
        raise ExpressionError(start, "expected {N}, {N,}, {,N} or {N,N}")
    return f"{{{match[1] or 0}{match[2]}{match[3]}}}", match.end()


class _Writer:
    """Puts tokens together; what is repeated is the last thing that can be."""

    def __init__(self, *, basic: bool) -> None:
        self._basic = basic
        self._parts: list[str] = []
        self._opened: list[tuple[int, _Token, int]] = []  # part, token and number of a group
        self._groups = 0
        self._closed: set[str] = set()
        self._last: int | None = None  # the part where the last thing starts
        self._repeated = False

    def add(self, token: _Token) -> None:
        """The next token."""
        match token.kind:
            case "text":
                self._thing(token.text)
            case "open":
                self._groups += 1
                self._opened.append((len(self._parts), token, self._groups))
                self._between("(")
            case "close":
                self._close(token)
            case "or" | "edge":
                self._between(token.text)
            case "repeat":
                self._repeat(token)
            case "back":
                if token.text not in self._closed:
                    what = f"expected a group {token.text} before \\{token.text}"
                    raise ExpressionError(token.position, what)
                self._thing(rf"\g{{{token.text}}}")

    def finish(self) -> str:
        """The whole, when all tokens were added."""
        if self._opened:
            token = self._opened[-1][1]
            raise ExpressionError(token.position, "expected a closing parenthesis for this one")
        return "".join(self._parts)

    def _thing(self, text: str) -> None:
        self._last = len(self._parts)
        self._repeated = False
        self._parts.append(text)

    def _between(self, text: str) -> None:
        self._last = None
        self._parts.append(text)

    def _close(self, token: _Token) -> None:
        if self._opened:
            part, _, number = self._opened.pop()
            self._parts.append(")")
            self._closed.add(str(number))
            self._last = part
            self._repeated = False
        elif self._basic:
            raise ExpressionError(token.position, "expected an opening parenthesis for this one")
        else:
            self._thing(r"\)")

    def _repeat(self, token: _Token) -> None:
        if self._last is None:
            if self._basic and token.text == "*":
                self._thing(r"\*")
                return
            what = f"expected something to repeat before {token.text}"
            raise ExpressionError(token.position, what)
        if self._repeated:
            # PCRE would take a second one for the manner of the first.
            self._parts[self._last :] = [f"(?:{''.join(self._parts[self._last :])})"]
        self._parts.append(token.text)
        self._repeated = True
