"""`mta reload`: put the edited configuration in force without refusing a client."""

from typing import Final

import click
import msgspec

from mta.commands.control import Changes, Control
from mta.commands.extent import no_service
from mta.commands.failure import NotRunningError
from mta.commands.output import as_text
from mta.commands.render import described, rendering, validated

__all__ = ["change_lines", "reload"]

_NOTHING: Final = Changes((), (), (), (), ())


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_context
def reload(context: click.Context, as_json: bool) -> None:
    """Render the configuration and put it in force; no connection is refused meanwhile.

    Old processes retire: they finish with the settings that they began with.
    """
    control = Control(context.obj.queue_directory)
    runs = _runs(control, context.obj.directory)
    with rendering(context.obj.directory) as (configuration, rendered):
        changes = control.reload(rendered.generation) if runs else _NOTHING
    if as_json:
        click.echo(as_text({"generation": rendered.generation, **msgspec.to_builtins(changes)}))
        return
    click.echo(described(rendered))
    for line in change_lines(changes):
        click.echo(line)
    if not configuration.services:
        rest = "`mta stop` ends the master" if runs else "there is nothing to reload"
        click.echo(f"{no_service(configuration.profile)}: {rest}")


def _runs(control: Control, directory: str) -> bool:
    """Whether there is a system to reload; NotRunningError where the table wants one.

    Nothing is rendered for a system that does not run, but for a table that runs nothing.
    """
    try:
        control.status()
    except NotRunningError:
        if validated(directory).services:
            raise
        return False
    return True


def change_lines(changes: Changes) -> list[str]:
    """What the master did, for people: a line each kind."""
    found = msgspec.structs.asdict(changes)
    return [f"{what}: {' '.join(names)}" for what, names in found.items() if names]
