"""`mta map check`: all that is wrong with tables and their sources, before a daemon finds it."""

import os

import click

from mta.commands.map.tables import table_of
from mta.commands.output import as_text
from mta.lookup.check import Finding, Severity, inspect
from mta.util.text import visible

__all__ = ["check"]

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


@click.command()
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@click.option("--json", "as_json", is_flag=True, help="Print an array.")
@click.pass_context
def check(context: click.Context, tables: tuple[str, ...], as_json: bool) -> None:
    """Tell all that is wrong with each TABLE, with FILE:LINE:COLUMN in front.

    Sources are read whole, compiled tables and databases too. A key that comes again and a source
    that is newer than its table are warnings. Exit status 65 if a table cannot be used.
    """
    names = [table_of(text) for text in tables]
    found = [(str(name), list(inspect(name))) for name in names]
    if as_json:
        click.echo(as_text([_fields(table, findings) for table, findings in found]))
    else:
        for table, findings in found:
            _tell(table, findings)
    wrong = any(it.severity is Severity.ERROR for _, findings in found for it in findings)
    context.exit(os.EX_DATAERR if wrong else os.EX_OK)


def _tell(table: str, findings: list[Finding]) -> None:
    for finding in findings:
        warning = "warning: " if finding.severity is Severity.WARNING else ""
        click.secho(warning + visible(finding.text), err=True, fg=_COLOURS[finding.severity])
    if not any(finding.severity is Severity.ERROR for finding in findings):
        click.echo(visible(f"{table}: can be used"))


def _fields(table: str, findings: list[Finding]) -> dict[str, object]:
    told = {
        f"{severity}s": [it.text for it in findings if it.severity is severity]
        for severity in Severity
    }
    return {"table": table, **told}
