"""aliases: the file of aliases(5), NAME: VALUE, as it is: no newaliases is needed after a change.

A name ends at the first colon that is not quoted; one with white space, #, : or @ in it stands
between double quotes, which are no part of it. It is folded (mta.lookup.fold). The value is all
that follows; what it means is its reader's matter (mta.proto.aliases). Comments and lines that go
on are those of all sources (mta.lookup.lines).
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from mta.lookup.files import SourceFile
from mta.lookup.fold import fold
from mta.lookup.lines import WHITE_SPACE, Line, SourceError, Wrong, read_lines, report
from mta.lookup.source import Entry
from mta.lookup.table import KEY_LIMIT, VALUE_LIMIT

__all__ = ["SIZE_LIMIT", "AliasTable", "read_aliases"]

SIZE_LIMIT: Final = 16 << 20  # octets of the file

# Each octet fits one alternative only: a long line costs one pass.
_NAME: Final = re.compile(
    rb"""(?: " (?P<quoted> (?: [^"\\] | \\. )* ) " | (?P<bare> [^":\s\\]+ ) ) [ \t]* :""",
    re.VERBOSE | re.DOTALL,
)
_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


class AliasTable:
    """The table `aliases:PATH`; of entries with one name, the first counts, as with postalias(1).

    Not for several threads at once.
    """

    def __init__(self, path: str) -> None:
        self._file = SourceFile(f"aliases:{path}", path, SIZE_LIMIT, _read)

    @property
    def takes_parts(self) -> bool:
        """Parts of an address are keys."""
        return True

    def find(self, key: str) -> str | None:
        """The value of the name in whatever case; TableError if that cannot be known."""
        return self._file.content().get(fold(key))

    def identity(self) -> int:
        """A number that is another one once the file was replaced or changed."""
        return self._file.identity()


def read_aliases(stream: BinaryIO, name: str, wrong: Wrong | None = None) -> Iterator[Entry]:
    """The entries of a file, in its order and in constant memory; a name may come twice.

    `name` is what errors call it. A line that is wrong raises SourceError, or is told to `wrong`
    and left out; one that is too long always raises it. OSError as from the stream.
    """
    for line in read_lines(stream, name, wrong):
        try:
            entry = _read_entry(line, name)
        except SourceError as error:
            report(error, wrong)
        else:
            yield entry


def _read(stream: BinaryIO, path: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for entry in read_aliases(stream, path):
        values.setdefault(entry.key, entry.value)
    return values


def _read_entry(line: Line, name: str) -> Entry:
    text = line.text
    match = _NAME.match(text)
    if match is None:
        raise line.error(name, 0, 'expected NAME: VALUE, or "NAME": VALUE for a name with spaces')
    start = len(text) - len(text[match.end() :].lstrip(WHITE_SPACE))
    value = line.decode(name, start).rstrip(WHITE_SPACE.decode())
    if not value:
        raise line.error(name, match.end(), "expected NAME: VALUE, got no value")
    if len(value.encode()) > VALUE_LIMIT:
        raise line.error(name, start, f"expected a value of at most {VALUE_LIMIT} octets")
    group = "bare" if match["quoted"] is None else "quoted"
    key = _PAIR.sub(r"\1", line.decode(name, *match.span(group)))
    if not 0 < len(key) <= KEY_LIMIT:
        what = f"expected a name of at most {KEY_LIMIT} characters, and of one at least"
        raise line.error(name, 0, what)
    return Entry(fold(key), value, *line.place(start))
