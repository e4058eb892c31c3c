"""`mta status`: what runs now."""

import time

import click
import msgspec

from mta.commands.control import Control, Isolation, MasterStatus, ServiceStatus
from mta.commands.extent import no_service, table_without_rows
from mta.commands.failure import NotRunningError
from mta.commands.output import as_text, table

__all__ = ["status"]

_COLOURS = {"running": "green", "throttled": "red", "stopped": "yellow", "draining": "yellow"}
_NONE = "no process"  # in place of the mode of isolation
_HEAD = ("service", "state", "processes", "retiring", "clients", "served", "started", "listens on")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show what runs now; exit status 69 when the system does not run."""
    try:
        found = Control(context.obj.queue_directory).status()
    except NotRunningError:
        empty = table_without_rows(context.obj.queue_directory)
        if empty is None:
            raise
        if not as_json:
            click.echo(f"generation {empty.generation}")
            click.echo(f"{no_service(empty.profile)}: nothing runs, and nothing has to")
            return
        found = MasterStatus(empty.generation, Isolation(_NONE, ()), ())
    click.echo(as_text(msgspec.to_builtins(found)) if as_json else _shown(found))


def _shown(found: MasterStatus) -> str:
    rows = [
        (
            service.name,
            service.state,
            f"{service.running}/{service.numprocs}",
            service.retiring,
            service.clients,
            service.served,
            service.spawned,
            " ".join(service.listeners),
        )
        for service in found.services
    ]
    lines = table(_HEAD, rows).splitlines()
    coloured = [_coloured(line, row[1]) for line, row in zip(lines[1:], rows, strict=True)]
    notes = [note for service in found.services if (note := _note(service))]
    isolation = [f"isolation: {found.isolation.mode}", *found.isolation.missing]
    title = f"generation {found.generation}"
    return "\n".join([title, "", lines[0], *coloured, "", *notes, *isolation])


def _coloured(line: str, state: str) -> str:
    colour = _COLOURS.get(state)
    return line.replace(state, click.style(state, fg=colour), 1) if colour else line


def _note(service: ServiceStatus) -> str:
    if service.throttled_until:
        pause = max(0.0, service.throttled_until - time.time())
        return f"{service.name}: {service.last_exit or 'failed'}; tried again in {pause:.0f} s"
    return ""
