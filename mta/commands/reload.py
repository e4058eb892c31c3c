"""`mta reload`: put the edited configuration in force without refusing a client."""

import click
import msgspec

from mta.commands.control import Changes, Control
from mta.commands.output import as_text
from mta.commands.render import described, rendering

__all__ = ["change_lines", "reload"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_context
def reload(context: click.Context, as_json: bool) -> None:
    """Render the configuration and put it in force; no connection is refused meanwhile.

    Old processes retire: they finish with the settings that they began with.
    """
    control = Control(context.obj.queue_directory)
    control.status()  # nothing is rendered for a system that does not run
    with rendering(context.obj.directory) as (_, rendered):
        changes = control.reload(rendered.generation)
    if as_json:
        click.echo(as_text({"generation": rendered.generation, **msgspec.to_builtins(changes)}))
        return
    click.echo(described(rendered))
    for line in change_lines(changes):
        click.echo(line)


def change_lines(changes: Changes) -> list[str]:
    """What the master did, for people: a line each kind."""
    found = msgspec.structs.asdict(changes)
    return [f"{what}: {' '.join(names)}" for what, names in found.items() if names]
