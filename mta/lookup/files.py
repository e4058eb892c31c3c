"""What a table is made of, read whole: again as soon as stat(2) tells of another content.

A content that is wrong is remembered as well, so that a large file with a mistake in it is not read
anew for each key; a file that cannot be read is tried again each time.
"""

import io
import os
from collections.abc import Callable
from typing import BinaryIO, Generic, Protocol, TypeVar

from mta.lookup.lines import SourceError
from mta.lookup.stamp import Stamp, stamp_of
from mta.lookup.syntax import TableName
from mta.lookup.table import TableError
from mta.util.regular import NotRegularError, open_regular

__all__ = ["Source", "SourceFile", "SourceText"]

Content = TypeVar("Content")
Content_co = TypeVar("Content_co", covariant=True)


class Source(Protocol[Content_co]):
    """What a table is made of."""

    def content(self) -> Content_co:
        """The content, as it is now; TableError if it cannot be had, or is wrong."""

    def identity(self) -> int:
        """A number that is another one once the content may have changed."""


class SourceText(Generic[Content]):
    """Lines that a table's name holds: read at the first look-up, and always the same."""

    def __init__(self, name: TableName, read: Callable[[BinaryIO, str], Content]) -> None:
        self._name = name
        self._read = read
        self._content: Content | SourceError | None = None

    def content(self) -> Content:
        """The content; SourceError if it is wrong: its line is the number of the rule."""
        if self._content is None:
            stream = io.BytesIO("\n".join(self._name.rules).encode("utf-8", "surrogateescape"))
            try:
                self._content = self._read(stream, f"{self._name.kind}:{{...}}")
            except SourceError as error:
                self._content = error
        if isinstance(self._content, SourceError):
            raise SourceError(str(self._content))
        return self._content

    def identity(self) -> int:
        """Always the same number for one name, in every process."""
        return self._name.identity


class SourceFile(Generic[Content]):
    """What a file says, by way of `read`, which takes a stream and the file's path.

    `name` is the table's, for errors. Not for several threads at once.
    """

    def __init__(
        self, name: str, path: str, limit: int, read: Callable[[BinaryIO, str], Content]
    ) -> None:
        self._name = name
        self._path = path
        self._limit = limit  # octets
        self._read = read
        self._stamp: Stamp | None = None
        self._content: Content | SourceError | None = None

    def content(self) -> Content:
        """The content, as the file has it now; TableError if it cannot be read, or is wrong."""
        if self._stamp is None or self._stamp != self._now():
            self._load()
        if isinstance(self._content, SourceError):
            raise SourceError(str(self._content))
        assert self._content is not None
        return self._content

    def identity(self) -> int:
        """A number that is another one once the file was replaced or changed."""
        return self._now().number

    def _load(self) -> None:
        self._stamp = self._content = None
        try:
            with open(open_regular(self._path), "rb") as file:
                stamp = stamp_of(os.fstat(file.fileno()))
                data = file.read(self._limit + 1)
                if stamp_of(os.fstat(file.fileno())) != stamp:
                    raise self._error("it is being written; replace it by rename")
        except NotRegularError as error:
            raise self._error(f"expected a file, got {error}") from error
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error
        except ValueError as error:  # no file can have such a name
            raise self._error(str(error)) from error
        try:
            if len(data) > self._limit:
                raise SourceError(
                    f"{self._name}: expected at most {self._limit} octets; "
                    "cdb is the type for large tables"
                )
            self._content = self._read(io.BytesIO(data), self._path)
        except SourceError as error:
            self._content = error
        self._stamp = stamp

    def _now(self) -> Stamp:
        try:
            return stamp_of(os.stat(self._path))
        except OSError as error:
            self._stamp = self._content = None
            raise self._error(error.strerror or str(error)) from error
        except ValueError as error:  # as above
            raise self._error(str(error)) from error

    def _error(self, what: str) -> TableError:
        # The path is in the table's name.
        return TableError(f"{self._name}: {what}")
