"""The parameters that take tables, and the tables that they name."""

import typing
from collections.abc import Iterable
from typing import Final

from mta.config.parameters import Parameters
from mta.config.types import TableNames
from mta.lookup.places import folders_of
from mta.lookup.syntax import TableName, parse

__all__ = ["TABLE_PARAMETERS", "TableFolders", "tables_of"]

TABLE_PARAMETERS: Final[tuple[str, ...]] = tuple(
    name
    for name, hint in typing.get_type_hints(Parameters, include_extras=True).items()
    if typing.get_args(hint)[:1] == (TableNames,)
)


def tables_of(views: Iterable[Parameters]) -> tuple[TableName, ...]:
    """Each table that a parameter in one of these views names; ValueError if a name is none."""
    texts = dict.fromkeys(
        text for view in views for name in TABLE_PARAMETERS for text in getattr(view, name)
    )
    return tuple(map(parse, texts))


class TableFolders:
    """The folders of all tables that some views name, as they are when this is made.

    A process is granted these and no others: when a table moves to another one (a link leads
    elsewhere), a new process has to take over.
    """

    def __init__(self, views: Iterable[Parameters]) -> None:
        self._tables = tables_of(views)
        self._folders = folders_of(self._tables)

    @property
    def moved(self) -> bool:
        """Whether they are others now."""
        return folders_of(self._tables) != self._folders
