"""The tables of local: aliases with the owner of their file, and the maps that go by user.

Tables that answer at once are opened here; a list with one that may block is the lookup service's.
Of an alias that a program or a database answers for nobody is the owner, as in Postfix.
"""

import os
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.ipc.maps import Finder, LocalMaps, Maps, ServedMaps, table_failure
from mta.lookup.open import open_table
from mta.lookup.places import files_of
from mta.lookup.syntax import TableName, parse
from mta.lookup.table import Key

__all__ = ["FoundAlias", "LocalTables"]

_ALIASES: Final = "alias_maps"
_BY_USER: Final = ("mailbox_transport_maps", "mailbox_command_maps", "fallback_transport_maps")


class FoundAlias(Struct, frozen=True):
    """The value of an alias, and the uid of its table's file; 0: root, or it has no file."""

    value: str
    owner: int


class _AliasMaps(Struct, frozen=True):
    maps: Maps
    file: str  # or nothing


class LocalTables:
    """The tables of one configuration; MailError 451 4.3.0 when one gives no answer."""

    def __init__(self, parameters: Parameters, finder: Finder) -> None:
        self._aliases = list(_alias_maps(parameters.alias_maps, finder))
        self._by_user = {name: _maps(name, parameters, finder) for name in _BY_USER}

    async def alias(self, name: str) -> FoundAlias | None:
        """What the first table has that knows the name."""
        key = Key(name, True)  # no pattern may put what a sender chose into a command
        for aliases in self._aliases:
            hit = await aliases.maps.find((key,))
            if hit is not None:
                return FoundAlias(hit.value, _owner(aliases.file) if aliases.file else 0)
        return None

    async def find(self, parameter: str, name: str) -> str | None:
        """What the tables of a parameter have for a name."""
        maps = self._by_user[parameter]
        hit = await maps.find((Key(name),)) if maps is not None else None
        return None if hit is None else hit.value


def _alias_maps(texts: tuple[str, ...], finder: Finder) -> Iterator[_AliasMaps]:
    names = [parse(text) for text in texts]
    if any(name.blocking for name in names):
        yield _AliasMaps(ServedMaps(_ALIASES, finder), "")
        return
    for name in names:
        yield _AliasMaps(LocalMaps(_ALIASES, [open_table(name)]), _file(name))


def _file(name: TableName) -> str:
    return next(files_of(name), "")


def _maps(parameter: str, parameters: Parameters, finder: Finder) -> Maps | None:
    names = [parse(text) for text in getattr(parameters, parameter)]
    if any(name.blocking for name in names):
        return ServedMaps(parameter, finder)
    return LocalMaps(parameter, [open_table(name) for name in names]) if names else None


def _owner(path: str) -> int:
    try:
        return os.stat(path).st_uid
    except OSError as error:
        raise table_failure(_ALIASES, f"{path}: {error.strerror}") from error
