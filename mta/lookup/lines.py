"""Logical lines of a table's source, as Postfix reads them (readllines.c).

    # ...           a comment, wherever it stands; blank lines are ignored likewise
    text            a logical line starts with text
        more        and goes on in lines that start with white space, which stays

White space is the six characters of C's isspace(3), whatever else Unicode calls so.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from msgspec import Struct

from mta.lookup.table import TableError

__all__ = ["LINE_LIMIT", "WHITE_SPACE", "Line", "SourceError", "Wrong", "read_lines", "report"]

LINE_LIMIT: Final = 1 << 20  # octets of a logical line
WHITE_SPACE: Final = b" \t\n\v\f\r"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class SourceError(TableError):
    """A table's source is wrong; the text says where, what, and what was expected."""


Wrong = Callable[[SourceError], None]  # told of one line that is wrong, which is then left out


class Line(Struct, frozen=True):
    """A logical line: its octets, and where in it which line of the file starts."""

    text: bytes
    starts: tuple[tuple[int, int], ...]  # offset, number of the line in the file

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column in the file, from one, columns in characters."""
        start, number = max(it for it in self.starts if it[0] <= offset)
        return number, len(self.text[start:offset].decode(errors="replace")) + 1

    def error(self, name: str, offset: int, what: str) -> SourceError:
        """What is wrong at an offset of this line, in the file of that name."""
        line, column = self.place(offset)
        return SourceError(f"{name}:{line}:{column}: {what}")

    def decode(self, name: str, start: int = 0, end: int | None = None) -> str:
        """A part of the text; SourceError if it is no text."""
        part = self.text[start:end]
        try:
            text = part.decode()
        except UnicodeDecodeError as error:
            what = f"expected UTF-8, got the octet 0x{part[error.start]:02x}"
            raise self.error(name, start + error.start, what) from error
        if "\0" in text:
            raise self.error(name, start + part.index(0), "expected text, got a NUL")
        return text


def read_lines(stream: BinaryIO, name: str, wrong: Wrong | None = None) -> Iterator[Line]:
    """The logical lines of a stream, in constant memory.

    `name` is what errors call it. A line that is wrong raises SourceError, or is told to `wrong`
    and left out; one that is too long always raises it. OSError as from the stream.
    """
    parts: list[bytes] = []
    starts: list[tuple[int, int]] = []
    size = 0
    number = 0
    while octets := stream.readline(LINE_LIMIT + 1):
        number += 1
        content = octets.strip(WHITE_SPACE)
        if len(octets) > LINE_LIMIT:
            raise _too_long(name, number)
        if not content or content.startswith(b"#"):
            continue
        if octets[0] in WHITE_SPACE:
            if not starts:
                report(_stray(name, number, octets), wrong)
                continue
        else:
            if starts:
                yield Line(b"".join(parts), tuple(starts))
            elif number == 1 and octets.startswith(_BYTE_ORDER_MARK):
                raise SourceError(f"{name}:1:1: expected text, got a byte order mark")
            parts.clear()
            starts.clear()
            size = 0
        starts.append((size, number))
        parts.append(octets.rstrip(b"\r\n"))
        size += len(parts[-1])
        if size > LINE_LIMIT:
            raise _too_long(name, number)
    if starts:
        yield Line(b"".join(parts), tuple(starts))


def _too_long(name: str, number: int) -> SourceError:
    return SourceError(f"{name}:{number}: expected at most {LINE_LIMIT} octets in a line")


def _stray(name: str, number: int, octets: bytes) -> SourceError:
    column = len(octets) - len(octets.lstrip(WHITE_SPACE)) + 1
    return SourceError(
        f"{name}:{number}:{column}: expected a line that starts with text: this one starts with "
        "white space, and there is none before that it could continue"
    )


def report(error: SourceError, wrong: Wrong | None) -> None:
    """Raise the error, or tell it to who wants to hear of all of them."""
    if wrong is None:
        raise error
    wrong(error)
