"""What opens the kinds of tables that may take their time, for callers that can wait."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from mta.lookup.patience import Patience
from mta.lookup.socketmap import SocketmapTable, parse_server
from mta.lookup.syntax import Kind, TableName
from mta.lookup.table import Table, TableError

if TYPE_CHECKING:
    from mta.lookup.open import Opener

__all__ = ["openers"]


def openers(patience: Patience, stack: ExitStack) -> "Mapping[Kind, Opener]":
    """For `open_table`: tables that keep to this deadline, and are closed with the stack."""

    def sqlite(name: TableName) -> Table:
        from mta.lookup.sqlite import SqliteTable  # noqa: PLC0415 - the library takes its time

        table = SqliteTable(name.argument, patience)
        stack.callback(table.close)
        return table

    def socketmap(name: TableName) -> Table:
        try:
            server = parse_server(name.argument)
        except ValueError as error:
            raise TableError(f"{name}: {error}") from error
        table = SocketmapTable(str(name), server, patience)
        stack.callback(table.close)
        return table

    def accounts(_: TableName) -> Table:
        from mta.lookup.accounts import AccountTable  # noqa: PLC0415 - few have such a table

        return AccountTable()

    return {"sqlite": sqlite, "socketmap": socketmap, "unix": accounts}
