"""How the subcommands of `mta map` name tables, and what a table's failure means for the status."""

import os
import re
from typing import Final

import click

from mta.lookup.lines import SourceError
from mta.lookup.syntax import TableName, parse
from mta.lookup.table import TableError

__all__ = ["status_of", "table_of"]

_TYPE: Final = re.compile(r"[a-z][a-z0-9]*:")


def table_of(text: str) -> TableName:
    """The table that an argument names; click.BadParameter if it names none."""
    try:
        return parse(text if _TYPE.match(text) else f"cdb:{os.path.abspath(text)}")
    except ValueError as error:
        raise click.BadParameter(f"{text}: {error}") from error


def status_of(error: TableError) -> int:
    """The exit status for a table that could not be made."""
    if isinstance(error, SourceError):
        return os.EX_DATAERR
    match error.__cause__:
        case FileNotFoundError():
            return os.EX_NOINPUT
        case PermissionError():
            return os.EX_NOPERM
        case _:
            return os.EX_TEMPFAIL
