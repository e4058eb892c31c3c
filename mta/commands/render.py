"""`mta render`: a new generation of the configuration, if anything changed."""

import contextlib
import time

import click

from mta.commands.control import Control
from mta.commands.extent import parts_of, stranded_mail
from mta.commands.failure import ControlError
from mta.commands.host import house_of, lacks
from mta.commands.log_folders import create_log_folders
from mta.commands.output import as_text
from mta.config.compile import Configuration, compile_configuration
from mta.config.errors import ConfigError
from mta.config.generations import Rendered, write_generation
from mta.config.render import render_supervisord
from mta.queue.clearance import clear
from mta.queue.layout import create_layout

__all__ = ["described", "render", "render_generation", "validated"]


def validated(directory: str) -> Configuration:
    """The configuration, checked to its last step; ConfigError lists what is wrong."""
    configuration = compile_configuration(directory)
    render_supervisord(configuration, generation=1)
    return configuration


def render_generation(directory: str) -> tuple[Configuration, Rendered]:
    """Check the configuration, make missing folders, write the generation.

    On ConfigError nothing was written. Owners and modes within the queue directory are set right;
    OSError names what cannot be. Folders that no row needs go when they are empty and no master
    runs. The generation that a running master works with is kept.
    """
    configuration = validated(directory)
    if missing := lacks(configuration):
        raise ConfigError(missing)
    queue_directory = configuration.parameters.queue_directory
    keepers, parts = house_of(configuration), parts_of(configuration.services)
    create_layout(queue_directory, keepers, parts)
    clear(queue_directory, parts)
    if configuration.services:
        create_log_folders(configuration.log_directory, keepers)
    in_force = None
    with contextlib.suppress(ControlError):  # it need not run
        in_force = Control(queue_directory).status().generation
    return configuration, write_generation(configuration, time.time(), in_force)


def described(rendered: Rendered) -> str:
    """One line for people."""
    changes = "; ".join(rendered.changes) or "nothing changed"
    return f"generation {rendered.generation}: {changes}"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_context
def render(context: click.Context, as_json: bool) -> None:
    """Compile the configuration into a new generation, if anything changed.

    Running daemons do not see it before `mta reload`.
    """
    configuration, rendered = render_generation(context.obj.directory)
    queue_directory = configuration.parameters.queue_directory
    if stranded := stranded_mail(queue_directory, parts_of(configuration.services)):
        click.echo(f"mta: {queue_directory}: {stranded}", err=True)
    if as_json:
        click.echo(as_text({"generation": rendered.generation, "changes": list(rendered.changes)}))
    else:
        click.echo(described(rendered))
