"""`mta restart SERVICE`: new processes for one row."""

import os

import click

from mta.commands.control import Control
from mta.commands.extent import no_service, table_without_rows
from mta.commands.failure import Failure, NotRunningError

__all__ = ["restart"]


@click.command()
@click.argument("service")
@click.pass_context
def restart(context: click.Context, service: str) -> None:
    """Retire the processes of SERVICE for new ones; clients being served are not cut off."""
    queue_directory = context.obj.queue_directory
    try:
        Control(queue_directory).restart(service)
    except NotRunningError:
        empty = table_without_rows(queue_directory)
        if empty is None:
            raise
        raise Failure(no_service(empty.profile), os.EX_UNAVAILABLE) from None
    click.echo(f"{service}: the old processes retire")
