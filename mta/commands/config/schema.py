"""`mta config schema`: what editors complete and check both files by."""

import os
from typing import Final

import click

from mta.commands.output import as_text
from mta.config.schema import main_schema, services_schema
from mta.util.replace import replace_file

__all__ = ["schema", "schema_file"]

_SCHEMAS: Final = {"main": main_schema, "services": services_schema}
_MODE: Final = 0o644


def schema_file(which: str) -> tuple[str, str]:
    """The name and the text of the file that holds the schema of `main` or `services`."""
    return f"{which}.schema.json", as_text(_SCHEMAS[which]()) + "\n"


@click.command()
@click.argument("which", type=click.Choice(list(_SCHEMAS)), required=False)
@click.option(
    "--output",
    "folder",
    type=click.Path(file_okay=False),
    metavar="DIRECTORY",
    help="Write main.schema.json and services.schema.json into this folder.",
)
def schema(which: str | None, folder: str | None) -> None:
    """Print the JSON Schema of main.yml or services.yml, or write both into a folder.

    An editor that has yaml-language-server finds it by the first line of main.yml,
    `# yaml-language-server: $schema=main.schema.json`; of services.yml likewise.
    """
    if folder is not None:
        if not os.path.isdir(folder):
            raise click.BadParameter(f"'{folder}' does not exist", param_hint="--output")
        for name in [which] if which else _SCHEMAS:
            _write(folder, *schema_file(name))
    elif which is None:
        raise click.UsageError("which one: main or services? Or both, with --output DIRECTORY.")
    else:
        click.echo(as_text(_SCHEMAS[which]()))


def _write(folder: str, name: str, text: str) -> None:
    """An editor that watches the file sees the old one or the new one, never half of one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        replace_file(descriptor, name, text.encode(), _MODE)
    finally:
        os.close(descriptor)
