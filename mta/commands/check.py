"""`mta check`: whether the configuration is valid, and what would put it in force."""

import os

import click

from mta.commands.control import Control
from mta.commands.failure import NotRunningError
from mta.commands.output import as_text
from mta.commands.render import validated
from mta.config.compile import Configuration
from mta.config.generations import differences
from mta.config.snapshot import SNAPSHOT_DIRECTORY, Snapshot, load_snapshot

__all__ = ["check"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Check main.yml and services.yml; tell what `mta reload` would change, and what it cannot."""
    configuration = validated(context.obj.directory)
    in_force = _in_force(configuration)
    changes: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    if in_force is not None:
        changes = differences(in_force, configuration.snapshot(in_force.generation, 0))
        restart = _beyond_reload(in_force, configuration)
    if as_json:
        click.echo(as_text({"changes": changes, "needs_restart": restart}))
        return
    names = " ".join(row.name for row in configuration.services)
    click.echo(f"valid: profile {configuration.profile}, services {names}")
    if changes:
        click.echo("`mta reload` would change: " + "; ".join(changes))
    for reason in restart:
        click.echo(f"needs `mta stop` and `mta start`: {reason}")


def _in_force(configuration: Configuration) -> Snapshot | None:
    queue_directory = configuration.parameters.queue_directory
    try:
        generation = Control(queue_directory).status().generation
    except NotRunningError:
        return None
    return load_snapshot(generation, os.path.join(queue_directory, SNAPSHOT_DIRECTORY))


def _beyond_reload(old: Snapshot, new: Configuration) -> tuple[str, ...]:
    reasons: list[str] = []
    if os.path.dirname(old.parameters.log_file) != new.log_directory:
        reasons.append("the master keeps writing supervisord.log in the folder of the old log_file")
    if old.python != new.python:
        reasons.append(f"the master itself keeps running with {old.python}")
    return tuple(reasons)
