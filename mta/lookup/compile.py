"""A source compiled into a constant table: PATH becomes PATH.cdb, or all stays as it was."""

import os
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from mta.lookup.cdb import SUFFIX
from mta.lookup.replacement import replacing
from mta.lookup.source import Reader, SourceError, read_source
from mta.lookup.stamp import stamp_of
from mta.lookup.table import TableError
from mta.lookup.writer import ConstantWriter, Repeated, UnfitError
from mta.util.regular import NotRegularError, open_regular

__all__ = ["Compiled", "Progress", "compile_table"]

Progress = Callable[[int, int], None]  # octets of the source that were read, and that it has

_TOLD_AFTER: Final = 10_000  # entries


class Compiled(Struct, frozen=True):
    """The file that was made, its records, and the entries left out: the first of a key stays."""

    file: str
    records: int
    repeated: tuple[Repeated, ...]


def compile_table(
    path: str, progress: Progress | None = None, read: Reader = read_source
) -> Compiled:
    """Make the table `cdb:PATH` from its source PATH; readers see it at their next look-up.

    `read` reads the source: mta.lookup.aliases has the reader of aliases(5).

    TableError: the table is as it was; the text says what is wrong and where. Files are read and
    written meanwhile, for seconds: nothing for an event loop.
    """
    name = f"cdb:{path}"
    try:
        return _compile(path, progress, read)
    except NotRegularError as error:
        raise TableError(f"{name}: {path} is {error}: expected a file") from error
    except UnfitError as error:
        raise TableError(f"{name}: {error}") from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise TableError(f"{name}: {where}{error.strerror}") from error


def _compile(path: str, progress: Progress | None, read: Reader) -> Compiled:
    file = path + SUFFIX
    with open(open_regular(path), "rb") as source:
        found = os.fstat(source.fileno())
        with replacing(file, found) as target:
            writer = ConstantWriter(target)
            count = 0
            for count, entry in enumerate(read(source, path, None), 1):
                try:
                    writer.add(entry.key, entry.value, entry.line)
                except UnfitError as error:
                    place = f"{path}:{entry.line}:{entry.column}"
                    raise SourceError(f"{place}: {error}") from error
                if progress is not None and not count % _TOLD_AFTER:
                    progress(source.tell(), found.st_size)
            repeated = writer.finish()
            # The table would look newer than its source, and lack what was just written there.
            if stamp_of(os.stat(path)) != stamp_of(found):
                raise TableError(f"cdb:{path}: {path} was changed while it was read: try again")
    return Compiled(file, count - len(repeated), tuple(repeated))
