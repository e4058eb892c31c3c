"""`mta map`: lookup tables, as postmap(1) has them.

    build       make constant tables of their sources                    (mta.commands.map.build)
    query       ask tables, or those of a parameter, for keys                             (query)
    check       all that is wrong with tables, and whether a source is newer              (check)

A TABLE is TYPE:NAME, as parameters have it; a path alone is that of a constant table (cdb).

    1                     query: a key is not there
    EX_DATAERR (65)       build, check: a source or a table is wrong
    EX_NOINPUT (66)       build: there is no such source
    EX_TEMPFAIL (75)      a table gives no answer now; another command builds it

The rest is as for every `mta` command. If several tables fail, the highest status counts.
"""

import click

from mta.commands.map.build import build
from mta.commands.map.check import check
from mta.commands.map.query import query

__all__ = ["map"]


@click.group()
def map() -> None:  # noqa: A001 - the command's name
    """Build lookup tables, ask them, and check them."""


for _command in (build, query, check):
    map.add_command(_command)
