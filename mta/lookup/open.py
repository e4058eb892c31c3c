"""From the name of a table to the table.

Opening never fails for the sake of a file: it is read with the first look-up, and again when it
was replaced. The kinds that may take their time are other modules', brought by callers that can
wait.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import BinaryIO, Final, TypeVar

from mta.lookup.aliases import AliasTable
from mta.lookup.cidr import SIZE_LIMIT as CIDR_LIMIT
from mta.lookup.cidr import CidrTable, read_networks
from mta.lookup.combined import PipeTable, UnionTable
from mta.lookup.constant import ConstantTable
from mta.lookup.files import Source, SourceFile, SourceText
from mta.lookup.inline import InlineTable, StaticTable
from mta.lookup.patterns import SIZE_LIMIT as PATTERNS_LIMIT
from mta.lookup.patterns import PatternTable, read_patterns
from mta.lookup.syntax import Kind, TableName
from mta.lookup.table import Table, TableError
from mta.lookup.texthash import TextTable

__all__ = ["Opener", "open_table"]

Opener = Callable[[TableName], Table]
Content = TypeVar("Content")

_NONE: Final[Mapping[Kind, Opener]] = MappingProxyType({})


def open_table(name: TableName, blocking: Mapping[Kind, Opener] = _NONE) -> Table:
    """The table of that name, for one thread.

    `blocking`: what opens the kinds that may take their time (mta.lookup.syntax.BLOCKING_KINDS),
    for callers that can wait. TableError: the name has one of those, and there is nothing for it.
    """
    if name.tables:
        tables = [open_table(it, blocking) for it in name.tables]
        return UnionTable(_short(name), tables) if name.kind == "unionmap" else PipeTable(tables)
    opener = _QUICK.get(name.kind) or blocking.get(name.kind)
    if opener is None:
        raise TableError(f"{name}: only the service lookup answers from {name.kind}")
    return opener(name)


def _open_aliases(name: TableName) -> Table:
    return AliasTable(name.argument)


def _open_constant(name: TableName) -> Table:
    return ConstantTable(name.argument)


def _open_text(name: TableName) -> Table:
    return TextTable(name.argument)


def _open_networks(name: TableName) -> Table:
    return CidrTable(_source(name, CIDR_LIMIT, read_networks))


def _open_patterns(name: TableName) -> Table:
    read = read_patterns("pcre" if name.kind == "pcre" else "regexp")
    return PatternTable(_short(name), _source(name, PATTERNS_LIMIT, read))


def _source(
    name: TableName, limit: int, read: Callable[[BinaryIO, str], Content]
) -> Source[Content]:
    if name.rules:
        return SourceText(name, read)
    return SourceFile(str(name), name.argument, limit, read)


def _short(name: TableName) -> str:
    """What errors call a table: one that holds its content may have a long name."""
    return str(name) if name.path else f"{name.kind}:{{...}}"


_QUICK: Final[Mapping[Kind, Opener]] = MappingProxyType(
    {
        "aliases": _open_aliases,
        "cdb": _open_constant,
        "cidr": _open_networks,
        "inline": InlineTable,
        "pcre": _open_patterns,
        "regexp": _open_patterns,
        "static": StaticTable,
        "texthash": _open_text,
    }
)
