"""`mta render`: a new generation of the configuration, if anything changed."""

import contextlib
import os
import time
from collections.abc import Iterator

import click

from mta.commands.control import Control
from mta.commands.extent import parts_of, stranded_mail
from mta.commands.failure import ControlError, NotRunningError
from mta.commands.host import house_of, lacks
from mta.commands.log_folders import create_log_folders
from mta.commands.output import as_text
from mta.config.compile import Configuration, compile_configuration
from mta.config.errors import ConfigError, LockedError
from mta.config.generations import GenerationFolder, LockedFolder
from mta.config.places import find_queue_directory
from mta.config.render import render_supervisord
from mta.config.write import Rendered, write_generation
from mta.queue.clearance import clear
from mta.queue.layout import create_layout

__all__ = [
    "described",
    "make_folders",
    "render",
    "render_generation",
    "rendering",
    "validated",
    "write_locked",
]


def validated(directory: str) -> Configuration:
    """The configuration, checked to its last step; ConfigError lists what is wrong."""
    configuration = compile_configuration(directory)
    render_supervisord(configuration, generation=1)
    return configuration


@contextlib.contextmanager
def rendering(directory: str) -> Iterator[tuple[Configuration, Rendered]]:
    """Check the configuration, make missing folders, write the generation.

    Until the block ends nobody else renders, so that what goes live last is what the files say.
    On ConfigError nothing was written. Owners and modes within the queue directory are set right;
    OSError names what cannot be; LockedError: somebody else changes the configuration. Folders that
    no row needs go when they are empty and no master runs.
    """
    queue_directory = _queue_directory(directory)
    folder = GenerationFolder(queue_directory)
    if not os.path.isdir(folder.path):
        make_folders(validated(directory))
    # Under the lock: a rollback may be replacing the files that are read here.
    with folder.locked() as locked:
        configuration = validated(directory)
        if configuration.parameters.queue_directory != queue_directory:
            raise LockedError("main.yml has just got another queue_directory")
        make_folders(configuration)
        yield configuration, write_locked(locked, configuration)


def _queue_directory(directory: str) -> str:
    try:
        return find_queue_directory(directory)
    except ConfigError:
        validated(directory)  # tells all that is wrong, not this alone
        raise


def render_generation(directory: str) -> tuple[Configuration, Rendered]:
    """As `rendering`, where nothing is to be done before others may render."""
    with rendering(directory) as done:
        return done


def make_folders(configuration: Configuration) -> None:
    """Make what the system lives in, and set its owners and modes right.

    ConfigError tells which users this host lacks; nothing was made then.
    """
    if missing := lacks(configuration):
        raise ConfigError(missing)
    queue_directory = configuration.parameters.queue_directory
    keepers, parts = house_of(configuration), parts_of(configuration.services)
    create_layout(queue_directory, keepers, parts)
    clear(queue_directory, parts)
    if configuration.services:
        create_log_folders(configuration.log_directory, keepers)


def write_locked(folder: LockedFolder, configuration: Configuration) -> Rendered:
    """Write the generation; the one that a running master works with is kept."""
    in_force, prune = None, True
    try:
        in_force = Control(configuration.parameters.queue_directory).status().generation
    except NotRunningError:
        pass  # it need not run
    except ControlError:
        prune = False  # it runs, with whatever it has
    return write_generation(folder, configuration, time.time(), in_force, prune=prune)


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
