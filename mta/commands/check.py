"""`mta check`: whether the configuration is valid, and what would put it in force."""

import os
from dataclasses import asdict

import click

from mta.commands.control import Control
from mta.commands.failure import Failure, NotRunningError
from mta.commands.host import faults, is_ours
from mta.commands.output import as_text
from mta.commands.render import validated
from mta.config.compile import Configuration
from mta.config.generations import Generation, GenerationFolder
from mta.config.snapshot import Snapshot
from mta.config.write import differences

__all__ = ["check"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Check main.yml, services.yml, and whether this host is as they need it.

    Tell what `mta reload` would change, and what it cannot. Exit status 78 when anything is wrong.
    """
    configuration = validated(context.obj.directory)
    in_force = _in_force(configuration)
    changes: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    if in_force is not None:
        changes = differences(in_force, configuration)
        restart = _beyond_reload(in_force.snapshot, configuration)
    wrong = faults(configuration) if is_ours(configuration) else []
    if as_json:
        found = {"changes": changes, "needs_restart": restart, "host": list(map(asdict, wrong))}
        click.echo(as_text(found))
        context.exit(os.EX_CONFIG if wrong else os.EX_OK)
    names = " ".join(row.name for row in configuration.services)
    click.echo(f"valid: profile {configuration.profile}, services {names}")
    if changes:
        click.echo("`mta reload` would change: " + "; ".join(changes))
    for reason in restart:
        click.echo(f"needs `mta stop` and `mta start`: {reason}")
    if not is_ours(configuration) and os.path.exists(configuration.parameters.queue_directory):
        click.echo("the host was not looked at: the queue directory is another user's")
    if wrong:
        raise Failure("\n".join(map(str, wrong)), os.EX_CONFIG)


def _in_force(configuration: Configuration) -> Generation | None:
    queue_directory = configuration.parameters.queue_directory
    try:
        generation = Control(queue_directory).status().generation
    except NotRunningError:
        return None
    return GenerationFolder(queue_directory).load(generation)


def _beyond_reload(old: Snapshot, new: Configuration) -> tuple[str, ...]:
    reasons: list[str] = []
    if os.path.dirname(old.parameters.log_file) != new.log_directory:
        reasons.append("the master keeps writing its logs beside the old log_file")
    if old.python != new.python:
        reasons.append(f"the master itself keeps running with {old.python}")
    return tuple(reasons)
