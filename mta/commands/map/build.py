"""`mta map build`: sources compiled into constant tables, each replaced whole or not at all."""

import os

import click

from mta.commands.map.tables import status_of, table_of
from mta.commands.output import as_text
from mta.commands.progress import Percents
from mta.lookup.aliases import read_aliases
from mta.lookup.compile import Compiled, compile_table
from mta.lookup.source import read_source
from mta.lookup.table import TableError
from mta.util.text import visible

__all__ = ["build"]


@click.command()
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@click.option("--aliases", is_flag=True, help="Sources are files of aliases(5), NAME: VALUE.")
@click.option("--json", "as_json", is_flag=True, help="Print an array.")
@click.pass_context
def build(context: click.Context, tables: tuple[str, ...], aliases: bool, as_json: bool) -> None:
    """Make the constant table of each TABLE, which is cdb:PATH or the PATH of its source.

    The table is PATH.cdb. Daemons see the new one with their next look-up, without a reload; if
    anything in the source is wrong, the old one stays. Of a key that comes again, the first counts.
    """
    read = read_aliases if aliases else read_source
    paths = [_source(text) for text in tables]
    status = os.EX_OK
    made: list[dict[str, object]] = []
    for path in paths:
        try:
            with Percents(path) as percents:
                compiled = compile_table(path, percents.tell, read)
        except TableError as error:
            click.secho(f"mta: {visible(str(error))}", err=True, fg="red")
            status = max(status, status_of(error))
        else:
            made.append(_fields(path, compiled))
            _tell(path, compiled, quiet=as_json)
    if as_json:
        click.echo(as_text(made))
    context.exit(status)


def _source(text: str) -> str:
    table = table_of(text)
    if table.kind != "cdb":
        raise click.BadParameter(f"{text}: expected cdb:PATH: only such tables are built")
    return table.argument


def _tell(path: str, compiled: Compiled, *, quiet: bool) -> None:
    for repeated in compiled.repeated:
        text = (
            f'{path}:{repeated.line}: warning: expected each key once, got "{repeated.key}" again; '
            f"the one in line {repeated.first} counts"
        )
        click.secho(visible(text), err=True, fg="yellow")
    if not quiet:
        click.echo(visible(f"{compiled.file}: {compiled.records} keys"))


def _fields(path: str, compiled: Compiled) -> dict[str, object]:
    return {
        "table": f"cdb:{path}",
        "file": compiled.file,
        "keys": compiled.records,
        "repeated": [
            {"key": repeated.key, "line": repeated.line, "first": repeated.first}
            for repeated in compiled.repeated
        ],
    }
