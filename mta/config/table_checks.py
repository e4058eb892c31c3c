"""Whether the tables that parameters name are there, and can be read as what they are.

error     a name that is none; a table that is missing, damaged, or has a mistake in it; one that
          may block, where no row answers for such
warning   what this user cannot read, for a daemon may; a source that is newer than its table
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from mta.config.problems import Severity, complaint, quoted
from mta.config.tables import TABLE_PARAMETERS
from mta.config.whole import View, ViewCheck, Whole, WholeCheck
from mta.lookup.check import stale
from mta.lookup.open import open_table
from mta.lookup.places import files_of
from mta.lookup.socketmap import parse_server
from mta.lookup.syntax import TableName, parse
from mta.lookup.table import TableError
from mta.util.regular import NotRegularError, open_regular

__all__ = ["LOOKUP_SERVICE", "TABLE_CHECKS"]

LOOKUP_SERVICE: Final = "ipc:private/lookup"
_UNUSED: Final = "posthouse.invalid"  # a key, to have a table opened


def _check_tables(name: str, view: View) -> None:
    for index, text in enumerate(getattr(view.parameters, name)):
        try:
            table = parse(text)
            for leaf in table.leaves():
                if leaf.kind == "socketmap":
                    parse_server(leaf.argument)
        except ValueError as error:
            view.complain((name,), *complaint(error, text), index=index)
        else:
            for leaf in table.leaves():
                _check_table(view, name, index, leaf)


def _check_table(view: View, name: str, index: int, table: TableName) -> None:
    if table.kind in ("socketmap", "unix"):
        return  # whether somebody answers there is known when somebody asks
    try:
        if table.kind == "sqlite":
            _check_database(table)
        else:
            open_table(table).find(_UNUSED)
    except TableError as error:
        severity = Severity.ERROR
        if isinstance(error.__cause__, PermissionError):
            severity = Severity.WARNING
        expected = "a table that can be read"
        view.complain((name,), expected, str(error), index=index, severity=severity)
        return
    if table.kind == "cdb" and stale(table.argument):
        expected = f"a table that is as new as its source, {table.argument}"
        way_out = f"run mta map build {table}"
        view.complain(
            (name,), expected, "an older one", way_out, index=index, severity=Severity.WARNING
        )


def _check_database(table: TableName) -> None:
    """The question, and that there is a file to ask; what is in it may be large."""
    from mta.lookup.sqlite_source import read_query  # noqa: PLC0415 - few have such a table

    for path in (table.argument, *files_of(table)):
        try:
            with open(open_regular(path), "rb") as file:
                if path == table.argument:
                    read_query(file, path)
        except NotRegularError as error:
            raise TableError(f"{table}: {path}: expected a file, got {error}") from error
        except OSError as error:
            raise TableError(f"{table}: {path}: {error.strerror}") from error


def _check_service(whole: Whole) -> None:
    """Tables that may block need the row that waits for them."""
    rows = [row.service for row in whole.table.rows.values()]
    if not rows or any(LOOKUP_SERVICE in row.listen for row in rows):
        return
    for view in whole.views():
        for name in TABLE_PARAMETERS:
            if not view.sets(name) or name in view.unsound:
                continue
            for index, text in enumerate(getattr(view.parameters, name)):
                if _blocks(text):
                    expected = "a table that daemons can read themselves, or a row lookup"
                    way_out = f"enable a row that listens on {LOOKUP_SERVICE}"
                    view.complain((name,), expected, quoted(text), way_out, index=index)


def _blocks(text: str) -> bool:
    try:
        return parse(text).blocking
    except ValueError:
        return False  # said already


TABLE_CHECKS: Final[tuple[Callable[[Whole], None], ...]] = (
    *(ViewCheck((name,), partial(_check_tables, name)) for name in TABLE_PARAMETERS),
    WholeCheck((), ("listen", "settings"), _check_service),
)
