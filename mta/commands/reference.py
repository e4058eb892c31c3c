"""`mta reference`: the manual's tables of parameters and of the service table."""

import os

import click

from mta.config.reference import parameters_reference, services_reference

__all__ = ["reference"]


@click.command()
@click.argument("directory", required=False)
def reference(directory: str | None) -> None:
    """Print the reference of main.yml and services.yml, or write it into DIRECTORY (Markdown)."""
    pages = {"parameters.md": parameters_reference(), "services.md": services_reference()}
    for name, text in pages.items():
        if directory is None:
            click.echo(text)
        else:
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(text)
