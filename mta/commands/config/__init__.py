"""`mta config`: what is in force, what was, and the way back.

    list        the generations there are                   (mta.commands.config.list)
    show        the settings of one, and where they come from                   (show)
    diff        what changed from one to another                                (diff)
    rollback    the files of an older one in force again                    (rollback)
    schema      the JSON Schemas of main.yml and services.yml                 (schema)

A generation is what `mta render` and `mta reload` make of main.yml and services.yml. The ten
newest are kept, and the one in force: that of the running master, or, if none runs, the one that
it would start with.

    EX_NOINPUT (66)       there is no such generation, or none at all
    EX_UNAVAILABLE (69)   the master refused the generation: nothing has changed
    EX_TEMPFAIL (75)      another command changes the configuration, or the master starts or stops
    EX_CONFIG (78)        a generation is damaged, or not valid any more

The rest is as for every `mta` command.
"""

import importlib
from typing import Final

import click

from mta.commands.config.options import Options

__all__ = ["config"]

# Each in the module of its name, as this function.
_COMMANDS: Final = {
    "diff": "diff",
    "list": "list_generations",
    "rollback": "rollback",
    "schema": "schema",
    "show": "show",
}


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names for --help."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"mta.commands.config.{cmd_name}")
        command: click.Command = getattr(module, _COMMANDS[cmd_name])
        return command


@click.group(cls=_Group)
@click.option(
    "--queue-directory",
    metavar="DIRECTORY",
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="The queue directory, where main.yml is too damaged to name it.",
)
@click.pass_context
def config(context: click.Context, queue_directory: str | None) -> None:
    """Look at the configuration in force and at earlier ones, and go back to one."""
    context.obj = Options(context.obj.directory, queue_directory)
