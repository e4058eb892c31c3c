"""`mta restart SERVICE`: new processes for one row."""

import click

from mta.commands.control import Control

__all__ = ["restart"]


@click.command()
@click.argument("service")
@click.pass_context
def restart(context: click.Context, service: str) -> None:
    """Retire the processes of SERVICE for new ones; clients being served are not cut off."""
    Control(context.obj.queue_directory).restart(service)
    click.echo(f"{service}: the old processes retire")
