"""`mta config`: the configuration as a whole.

schema    the JSON Schemas of main.yml and services.yml    (mta.commands.config.schema)
"""

import click

from mta.commands.config.schema import schema

__all__ = ["config"]


@click.group()
def config() -> None:
    """Look at the configuration as a whole."""


for _command in (schema,):
    config.add_command(_command)
