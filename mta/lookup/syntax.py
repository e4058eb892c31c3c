"""Names of tables, as parameters have them: TYPE:NAME, in Postfix's form (DATABASE_README).

    aliases cdb texthash sqlite :/absolute/path
    cidr pcre regexp            :/absolute/path, or the rules themselves: {{RULE}, {RULE}}
    inline                      :{KEY=VALUE, {KEY = VALUE WITH SPACES, OR COMMAS}}
    static                      :VALUE or :{VALUE}
    socketmap                   :inet:HOST:PORT:NAME or :unix:/PATH:NAME
    unix                        :passwd.byname
    pipemap unionmap            :{TYPE:NAME, TYPE:NAME}

Items between braces are parted by white space or commas. Braces nest, and an item goes on to its
own closing brace. Quotes stay in the keys of `inline`, as they do in those of files.
"""

import re
import zlib
from collections.abc import Iterator
from typing import Final, Literal, cast, get_args

from msgspec import Struct

__all__ = ["BLOCKING_KINDS", "FILE_KINDS", "Kind", "Pair", "TableName", "parse"]

Kind = Literal[
    "aliases",
    "cdb",
    "cidr",
    "inline",
    "pcre",
    "pipemap",
    "regexp",
    "socketmap",
    "sqlite",
    "static",
    "texthash",
    "unionmap",
    "unix",
]

KINDS: Final[tuple[str, ...]] = get_args(Kind)
FILE_KINDS: Final = frozenset({"aliases", "cdb", "cidr", "pcre", "regexp", "sqlite", "texthash"})
BLOCKING_KINDS: Final = frozenset(
    {"socketmap", "sqlite", "unix"}
)  # answered by the service `lookup`
ACCOUNTS: Final = "passwd.byname"  # the one table of the kind `unix`
_RULE_KINDS: Final = frozenset({"cidr", "pcre", "regexp"})
_COMBINED_KINDS: Final = frozenset({"pipemap", "unionmap"})

_DEPTH_LIMIT: Final = 8  # tables in tables
_SEPARATORS: Final = ", \t\r\n"
_WHITE_SPACE: Final = " \t\r\n\v\f"
_TYPE: Final = re.compile(r"[a-z][a-z0-9]*(?=:)")
_KEY: Final = re.compile(
    r"""(?: [^"\\=\ \t\r\n\v\f] | \\. | " (?: [^"\\] | \\. )* " )+""", re.VERBOSE | re.DOTALL
)


class Pair(Struct, frozen=True):
    """A key of an inline table, as it is written, and its value."""

    key: str
    value: str


class TableName(Struct, frozen=True):
    """One table's name, taken apart; which fields are filled depends on the kind.

    `argument` is a file's path, the value of `static`, the address of `socketmap`; `pairs` are
    those of `inline`, `rules` those that are written in the name, `tables` what is combined.
    """

    text: str  # the name as it is written
    kind: Kind
    argument: str = ""
    pairs: tuple[Pair, ...] = ()
    rules: tuple[str, ...] = ()
    tables: tuple["TableName", ...] = ()

    def __str__(self) -> str:
        return self.text

    def leaves(self) -> Iterator["TableName"]:
        """The tables that this one is made of; itself, if it is not combined of others."""
        if not self.tables:
            yield self
        for table in self.tables:
            yield from table.leaves()

    @property
    def path(self) -> str | None:
        """The absolute path of the file that is named, if one is."""
        return self.argument if self.argument and self.kind in FILE_KINDS else None

    @property
    def identity(self) -> int:
        """A number of this name, the same in every process."""
        return zlib.crc32(self.text.encode("utf-8", "surrogatepass"))

    @property
    def blocking(self) -> bool:
        """Whether an answer may take its time, because of any of the tables in it."""
        return any(it.kind in BLOCKING_KINDS for it in self.leaves())


def parse(text: str) -> TableName:
    """The table of that name; ValueError says where, what was expected, and what is there."""
    if "\0" in text:
        raise _error(text.index("\0"), "text", "a NUL")
    return _table(text, 0, len(text), 0)


def _table(text: str, start: int, end: int, depth: int) -> TableName:
    if depth > _DEPTH_LIMIT:
        raise _error(start, f"at most {_DEPTH_LIMIT} tables in one another", "one more")
    match = _TYPE.match(text, start, end)
    if match is None or match[0] not in KINDS:
        got = match[0] if match else text[start:end]
        raise _error(start, f"TYPE:NAME with a type of {', '.join(KINDS)}", _quoted(got))
    kind = cast("Kind", match[0])
    name = text[start:end]
    start = match.end() + 1
    if start == end:
        raise _error(start, f"a name after {kind}:", "nothing")
    if kind in _COMBINED_KINDS:
        spans = list(_items(text, start, end, "TYPE:NAME"))
        return TableName(name, kind, tables=tuple(_table(text, *it, depth + 1) for it in spans))
    if kind == "inline":
        return TableName(name, kind, pairs=_pairs(text, start, end))
    if kind == "static":
        return TableName(name, kind, _value(text, start, end))
    if kind in _RULE_KINDS and text[start] == "{":
        return TableName(name, kind, rules=_rules(text, start, end))
    if kind == "unix" and text[start:end] != ACCOUNTS:
        raise _error(start, ACCOUNTS, _quoted(text[start:end]))
    if kind in FILE_KINDS and text[start] != "/":
        raise _error(start, "an absolute path", _quoted(text[start:end]))
    return TableName(name, kind, text[start:end])


def _pairs(text: str, start: int, end: int) -> tuple[Pair, ...]:
    pairs: dict[str, str] = {}
    for item_start, item_end in _items(text, start, end, "KEY=VALUE"):
        first, last = _unbraced(text, item_start, item_end)
        match = _KEY.match(text, first, last)
        if match is None:
            raise _error(first, "KEY=VALUE", _quoted(text[first:last]))
        rest = text[match.end() : last]
        value = rest.lstrip(_WHITE_SPACE)
        place = match.end() + len(rest) - len(value)
        if not value.startswith("="):
            raise _error(place, "= after the key", _quoted(value))
        value = value[1:].strip(_WHITE_SPACE)
        if not value:
            raise _error(place + 1, "a value", "nothing")
        if match[0] in pairs:
            raise _error(first, "each key once", f"{_quoted(match[0])} again")
        pairs[match[0]] = value
    return tuple(Pair(*it) for it in pairs.items())


def _value(text: str, start: int, end: int) -> str:
    if text[start] != "{":
        return text[start:end]
    first, last = _unbraced(text, start, end)
    if first == last:
        raise _error(first, "a value", "nothing")
    return text[first:last]


def _rules(text: str, start: int, end: int) -> tuple[str, ...]:
    rules = []
    for item_start, item_end in _items(text, start, end, "{RULE}"):
        if text[item_start] != "{":
            raise _error(item_start, "{RULE}", _quoted(text[item_start:item_end]))
        first, last = _unbraced(text, item_start, item_end)
        rules.append(text[first:last])
    return tuple(rules)


def _items(text: str, start: int, end: int, what: str) -> Iterator[tuple[int, int]]:
    """Start and end of each item between a pair of braces, of which there is one at least."""
    if text[start] != "{":
        raise _error(start, f"{{{what}, ...}}", _quoted(text[start:end]))
    first, last = _unbraced(text, start, end)
    if first == last:
        raise _error(first, what, "nothing")
    item = first
    while item < last:
        if text[item] in _SEPARATORS:
            item += 1
            continue
        position = item
        while position < last and text[position] not in _SEPARATORS:
            position = _closing(text, position, last) if text[position] == "{" else position + 1
        yield item, position
        item = position


def _unbraced(text: str, start: int, end: int) -> tuple[int, int]:
    """Start and end without the pair of braces around, if there is one, and its white space."""
    if text[start] == "{":
        last = _closing(text, start, end)
        if last != end:
            raise _error(last, "nothing after the closing brace", _quoted(text[last:end]))
        start, end = start + 1, end - 1
    while start < end and text[start] in _WHITE_SPACE:
        start += 1
    while start < end and text[end - 1] in _WHITE_SPACE:
        end -= 1
    return start, end


def _closing(text: str, start: int, end: int) -> int:
    """The place after the brace that closes the one at `start`."""
    depth = 0
    for position in range(start, end):
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if not depth:
                return position + 1
    raise _error(start, "a closing brace for the one here", "none")


def _error(position: int, expected: str, got: str) -> ValueError:
    return ValueError(f"at character {position + 1}: expected {expected}, got {got}")


def _quoted(text: str) -> str:
    return f'"{text if len(text) <= 60 else text[:60] + "..."}"' if text else "nothing"
