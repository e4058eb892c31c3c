"""The files that tables are read from, for who must grant or judge them before they are opened."""

import os
from collections.abc import Iterable, Iterator

from mta.lookup.cdb import SUFFIX
from mta.lookup.socketmap import parse_server
from mta.lookup.syntax import TableName
from mta.lookup.table import TableError
from mta.util.regular import NotRegularError, open_regular

__all__ = ["files_of", "folders_of", "ports_of"]


def files_of(name: TableName) -> Iterator[str]:
    """The files that a table and those in it are read from, whether or not they are there."""
    for leaf in name.leaves():
        if leaf.kind == "unix":
            yield "/etc/passwd"  # its folder, for the file is replaced as a whole
        if leaf.path is None:
            continue
        yield leaf.path + SUFFIX if leaf.kind == "cdb" else leaf.path
        if leaf.kind == "sqlite":
            yield from _database(leaf.path)


def folders_of(names: Iterable[TableName]) -> frozenset[str]:
    """The folders that the files lie in, by their names and by what links lead to.

    Those that are not there are left out, and so are those of what is no file, such as /dev. What
    lies at the root itself has none.
    """
    folders = set()
    for name in names:
        for file in files_of(name):
            folders.add(os.path.dirname(file))
            if os.path.isfile(file):
                folders.add(os.path.dirname(os.path.realpath(file)))
    return frozenset(folder for folder in folders if folder != "/" and os.path.isdir(folder))


def ports_of(names: Iterable[TableName]) -> frozenset[int]:
    """The TCP ports of programs that answer for tables; ValueError if one is named wrongly."""
    leaves = (leaf for name in names for leaf in name.leaves() if leaf.kind == "socketmap")
    return frozenset(filter(None, (parse_server(leaf.argument).port for leaf in leaves)))


def _database(path: str) -> Iterator[str]:
    """What the file of a sqlite table names, if it can be read; the table itself will say why."""
    from mta.lookup.sqlite_source import read_query  # noqa: PLC0415 - few have such a table

    try:
        with open(open_regular(path), "rb") as file:
            yield read_query(file, path).database
    except (OSError, NotRegularError, TableError):
        return
