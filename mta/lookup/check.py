"""All that is wrong with a table, and what soon will be: for people, not for look-ups.

error     the table gives no answer, or a wrong one
warning   it answers, and perhaps not what was meant: a key comes twice, the source is newer
"""

import enum
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import BinaryIO, Final

from msgspec import Struct

from mta.lookup.aliases import SIZE_LIMIT as ALIASES_LIMIT
from mta.lookup.aliases import read_aliases
from mta.lookup.blocking import openers
from mta.lookup.cdb import SUFFIX
from mta.lookup.cidr import SIZE_LIMIT as CIDR_LIMIT
from mta.lookup.cidr import read_networks
from mta.lookup.constant import ConstantTable
from mta.lookup.lines import SourceError
from mta.lookup.open import open_table
from mta.lookup.patience import Patience
from mta.lookup.patterns import SIZE_LIMIT as PATTERNS_LIMIT
from mta.lookup.patterns import Syntax, read_patterns
from mta.lookup.source import Reader, read_source
from mta.lookup.syntax import TableName
from mta.lookup.table import TableError
from mta.lookup.texthash import SIZE_LIMIT as TEXT_LIMIT
from mta.util.regular import NotRegularError, open_regular

__all__ = ["FOUND_LIMIT", "Finding", "Severity", "inspect", "stale"]

FOUND_LIMIT: Final = 100  # errors of one file that are told, and warnings
_PATIENCE: Final = 60.0  # seconds for a database


class Severity(enum.StrEnum):
    """Whether the table can be used."""

    ERROR = "error"
    WARNING = "warning"


class Finding(Struct, frozen=True):
    """One thing to tell, with its place in front: FILE:LINE:COLUMN: WHAT."""

    severity: Severity
    text: str


class _Findings:
    """What was found in one file, as far as it is told."""

    def __init__(self) -> None:
        self._told: dict[Severity, list[str]] = {severity: [] for severity in Severity}
        self._more = dict.fromkeys(Severity, 0)

    def add(self, severity: Severity, text: str) -> None:
        if len(self._told[severity]) < FOUND_LIMIT:
            self._told[severity].append(text)
        else:
            self._more[severity] += 1

    def wrong(self, error: SourceError) -> None:
        self.add(Severity.ERROR, str(error))

    def all(self, path: str) -> Iterator[Finding]:
        for severity, texts in self._told.items():
            yield from (Finding(severity, text) for text in texts)
            if more := self._more[severity]:
                yield Finding(severity, f"{path}: {more} more {severity}s")


def inspect(name: TableName) -> Iterator[Finding]:
    """What is wrong with a table, and with those that it is made of; it reads all of them."""
    for leaf in name.leaves():
        path = leaf.path
        if leaf.kind == "cdb" and path is not None:
            yield from _inspect_constant(path)
        elif leaf.kind == "texthash" and path is not None:
            yield from _read(path, TEXT_LIMIT, _read_entries)
        elif leaf.kind == "aliases" and path is not None:
            yield from _read(path, ALIASES_LIMIT, partial(_read_entries, read=read_aliases))
        elif leaf.kind == "cidr" and path is not None:
            yield from _read(path, CIDR_LIMIT, _read_networks)
        elif (leaf.kind == "pcre" or leaf.kind == "regexp") and path is not None:
            yield from _read(path, PATTERNS_LIMIT, partial(_read_patterns, leaf.kind))
        else:
            yield from _ask(leaf)


def stale(path: str) -> bool:
    """Whether the source of the table `cdb:PATH` was changed after the table was made."""
    try:
        return os.stat(path).st_mtime_ns > os.stat(path + SUFFIX).st_mtime_ns
    except OSError:
        return False  # a table needs no source, and where it is missing itself, that is said


def _inspect_constant(path: str) -> Iterator[Finding]:
    if os.path.exists(path):
        yield from _read(path, None, _read_entries)
    try:
        ConstantTable(path).check()
    except TableError as error:
        yield Finding(Severity.ERROR, str(error))
    if stale(path):
        text = f"{path} is newer than {path}{SUFFIX}: run mta map build cdb:{path}"
        yield Finding(Severity.WARNING, text)


def _read(
    path: str, limit: int | None, read: Callable[[BinaryIO, str, _Findings], None]
) -> Iterator[Finding]:
    found = _Findings()
    try:
        with open(open_regular(path), "rb") as file:
            if limit is not None and os.fstat(file.fileno()).st_size > limit:
                what = f"{path}: expected at most {limit} octets"
                found.add(Severity.ERROR, f"{what}; cdb is the type for large tables")
            else:
                read(file, path, found)
    except SourceError as error:
        found.wrong(error)
    except NotRegularError as error:
        found.add(Severity.ERROR, f"{path}: expected a file, got {error}")
    except OSError as error:
        found.add(Severity.ERROR, f"{path}: {error.strerror}")
    yield from found.all(path)


def _read_entries(
    stream: BinaryIO, path: str, found: _Findings, read: Reader = read_source
) -> None:
    lines: dict[str, int] = {}
    for entry in read(stream, path, found.wrong):
        first = lines.setdefault(entry.key, entry.line)
        if first != entry.line:
            place = f"{path}:{entry.line}:{entry.column}"
            what = (
                f'expected each key once, got "{entry.key}" again; the one in line {first} counts'
            )
            found.add(Severity.WARNING, f"{place}: {what}")


def _read_networks(stream: BinaryIO, path: str, found: _Findings) -> None:
    read_networks(stream, path, found.wrong)


def _read_patterns(syntax: Syntax, stream: BinaryIO, path: str, found: _Findings) -> None:
    read_patterns(syntax, found.wrong)(stream, path)


def _ask(name: TableName) -> Iterator[Finding]:
    """Of other kinds, whether they can be asked."""
    from mta.lookup.sqlite import SqliteTable  # noqa: PLC0415 - the library takes its time

    try:
        with ExitStack() as stack:
            table = open_table(name, openers(Patience(_PATIENCE), stack))
            if isinstance(table, SqliteTable):
                table.check()
            elif name.rules:
                table.find("")  # the rules are read then
    except TableError as error:
        yield Finding(Severity.ERROR, str(error))
