"""The source of a table of fixed strings, as postmap(1) takes it: KEY WHITE-SPACE VALUE.

A key ends at the first white space that is not quoted: with a backslash, or between double quotes.
Quotes stay in the key, for the addresses that are asked for have them too: "a b"@example.org. Keys
are folded (mta.lookup.fold). A value is all that follows, without white space around it.

Postfix warns of a line that is wrong, and ignores it. Here it is an error: a table without one of
its lines would say that it does not have the key.
"""

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from msgspec import Struct

from mta.lookup.fold import fold
from mta.lookup.lines import WHITE_SPACE, Line, SourceError, Wrong, read_lines
from mta.lookup.table import KEY_LIMIT, VALUE_LIMIT

__all__ = ["Entry", "Reader", "SourceError", "read_source"]

# Each octet fits one alternative only, and the end always fits: a long line costs one pass.
_KEY: Final = re.compile(
    rb"""(?: [^"\\\s] | \\. | " (?: [^"\\] | \\. )* " )* (?P<open> ["\\] )?""",
    re.VERBOSE | re.DOTALL,
)


class Entry(Struct, frozen=True):
    """A key, folded, and its value, which starts at that line and column."""

    key: str
    value: str
    line: int
    column: int


Reader = Callable[[BinaryIO, str, Wrong | None], Iterator[Entry]]  # see `read_source`


def read_source(stream: BinaryIO, name: str, wrong: Wrong | None = None) -> Iterator[Entry]:
    """The entries of a source, in its order and in constant memory; a key may come twice.

    `name` is what errors call it. A line that is wrong raises SourceError, or is told to `wrong`
    and left out; one that is too long always raises it. OSError as from the stream.
    """
    for line in read_lines(stream, name, wrong):
        try:
            entry = _read_entry(line, name)
        except SourceError as error:
            if wrong is None:
                raise
            wrong(error)
        else:
            yield entry


def _read_entry(line: Line, name: str) -> Entry:
    text = line.text
    match = _KEY.match(text)
    assert match is not None  # it may be empty
    end = match.end()
    if match["open"] == b'"':
        raise line.error(name, match.start("open"), "expected a second double quote")
    if match["open"]:
        raise line.error(name, match.start("open"), "expected a character after the backslash")
    start = len(text) - len(text[end:].lstrip(WHITE_SPACE))
    value = line.decode(name, start).rstrip(WHITE_SPACE.decode())
    if not value:
        raise line.error(name, end, "expected KEY WHITE-SPACE VALUE, got no value")
    if len(text) - start > VALUE_LIMIT and len(value.encode()) > VALUE_LIMIT:
        what = f"expected a value of at most {VALUE_LIMIT} octets"
        raise line.error(name, start, what)
    key = fold(line.decode(name, 0, end))
    if len(key) > KEY_LIMIT:
        raise line.error(name, 0, f"expected a key of at most {KEY_LIMIT} characters")
    return Entry(key, value, *line.place(start))
