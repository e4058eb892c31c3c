"""`mta reference`: what is written of the parameters and of the service table, from the code."""

import os

import click

from mta.config.argument_specs import configuration_argument_specs
from mta.config.reference import parameters_reference, services_reference

__all__ = ["reference"]


@click.command()
@click.option(
    "--argument-specs",
    "specs",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also write what the Ansible role configuration takes (YAML).",
)
@click.argument("directory", required=False)
def reference(directory: str | None, specs: str | None) -> None:
    """Print the reference of main.yml and services.yml, or write it into DIRECTORY (Markdown)."""
    pages = {"parameters.md": parameters_reference(), "services.md": services_reference()}
    for name, text in pages.items():
        if directory is None:
            click.echo(text)
        else:
            _write(os.path.join(directory, name), text)
    if specs is not None:
        _write(specs, configuration_argument_specs())


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
