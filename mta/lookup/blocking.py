"""What opens the kinds of tables that may take their time, for callers that can wait."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mta.lookup.patience import Patience
from mta.lookup.socketmap import SocketmapTable, parse_server
from mta.lookup.syntax import Kind, TableName
from mta.lookup.table import Table, TableError

if TYPE_CHECKING:
    from mta.lookup.open import Opener

__all__ = ["openers"]


def openers(patience: Patience) -> "Mapping[Kind, Opener]":
    """For `open_table`: tables that keep to this deadline."""

    def sqlite(name: TableName) -> Table:
        from mta.lookup.sqlite import SqliteTable  # noqa: PLC0415 - the library takes its time

        return SqliteTable(name.argument, patience)

    def socketmap(name: TableName) -> Table:
        try:
            server = parse_server(name.argument)
        except ValueError as error:
            raise TableError(f"{name}: {error}") from error
        return SocketmapTable(str(name), server, patience)

    return {"sqlite": sqlite, "socketmap": socketmap}
