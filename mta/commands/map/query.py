"""`mta map query`: what tables have for keys, asked as a daemon asks them."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import click

from mta.commands.failure import Failure
from mta.commands.main import Target
from mta.commands.map.tables import table_of
from mta.commands.output import as_text
from mta.lookup.blocking import openers
from mta.lookup.open import open_table
from mta.lookup.patience import Patience
from mta.lookup.syntax import TableName
from mta.lookup.table import Hit, Key, TableError, search
from mta.util.text import visible

__all__ = ["query"]

_PATIENCE: Final = 60.0  # seconds for a key, in tables that may block
_NOT_FOUND: Final = 1  # as of postmap -q


@click.command()
@click.argument("where", metavar="TABLE|PARAMETER")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--json", "as_json", is_flag=True, help="Print an array.")
@click.pass_context
def query(context: click.Context, where: str, keys: tuple[str, ...], as_json: bool) -> None:
    """Ask a TABLE, or the tables that a PARAMETER of main.yml names, for each KEY.

    One KEY: its value. Several: KEY, a tab and the value of each that is there. With "-" keys are
    read from standard input, one a line. A key is asked for as it is: daemons ask for an address in
    several forms. Exit status 1 when a key is not there, 75 when a table gives no answer.
    """
    names = _tables(context.obj, where)
    alone = len(keys) == 1 and keys != ("-",)
    found: list[dict[str, str | None]] = []
    missed = False
    for key, hit in _search(names, keys):
        value = None if hit is None else hit.value
        missed |= value is None
        if as_json:
            found.append({"key": key, "value": value})
        elif value is not None:
            click.echo(visible(value) if alone else f"{visible(key)}\t{visible(value)}")
    if as_json:
        click.echo(as_text(found))
    context.exit(_NOT_FOUND if missed else os.EX_OK)


def _search(
    names: tuple[TableName, ...], keys: tuple[str, ...]
) -> Iterator[tuple[str, Hit | None]]:
    patience = Patience(_PATIENCE)
    with ExitStack() as stack:
        try:
            tables = [open_table(name, openers(patience, stack)) for name in names]
            for text in _lines() if keys == ("-",) else keys:
                # What is no UTF-8 is in no table; it must be told all the same.
                key = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                patience.begin()
                yield key, search(tables, [Key(key)])
        except TableError as error:
            raise Failure(visible(str(error)), os.EX_TEMPFAIL) from error


def _lines() -> Iterator[str]:
    for line in sys.stdin.buffer:
        if key := line.removesuffix(b"\n").decode("utf-8", "surrogateescape"):
            yield key


def _tables(target: Target, where: str) -> tuple[TableName, ...]:
    if ":" in where or "/" in where:
        return (table_of(where),)
    from mta.config.places import find_tables  # noqa: PLC0415 - yaml takes its time
    from mta.config.tables import TABLE_PARAMETERS  # noqa: PLC0415

    if where not in TABLE_PARAMETERS:
        raise click.BadParameter(f"{where}: expected TYPE:NAME, a path, or a parameter of tables")
    texts = find_tables(target.directory, where)
    if not texts:
        raise Failure(f"{where}: main.yml names no tables for it", os.EX_CONFIG)
    return tuple(table_of(text) for text in texts)
