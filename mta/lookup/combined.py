"""Tables made of tables: all their values together (unionmap), or one after the other (pipemap).

If one of them fails, the whole does. Like Postfix's, they take parts of an address as keys if the
first of their tables does.
"""

from collections.abc import Sequence

from mta.lookup.table import VALUE_LIMIT, Table, TableError

__all__ = ["PipeTable", "UnionTable"]


class UnionTable:
    """`unionmap:{TYPE:NAME, ...}`: the values of all tables that have the key, with commas."""

    def __init__(self, name: str, tables: Sequence[Table]) -> None:
        self._name = name
        self._tables = tuple(tables)

    @property
    def takes_parts(self) -> bool:
        """Whether the first table takes parts of an address."""
        return self._tables[0].takes_parts

    def find(self, key: str) -> str | None:
        """The values of the key in the order of the tables; TableError if one of them fails."""
        values = [it for it in (table.find(key) for table in self._tables) if it is not None]
        return _bounded(self._name, ",".join(values)) if values else None

    def identity(self) -> int:
        """A number that changes when that of a table does."""
        return hash(tuple(it.identity() for it in self._tables))


class PipeTable:
    """`pipemap:{TYPE:NAME, ...}`: the value that one table has is the key for the next one."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tuple(tables)

    @property
    def takes_parts(self) -> bool:
        """Whether the first table, which is asked for the key, takes parts of an address."""
        return self._tables[0].takes_parts

    def find(self, key: str) -> str | None:
        """The value that the last table has, if each has one; TableError if one of them fails."""
        for table in self._tables:
            value = table.find(key)
            if value is None:
                return None
            key = value
        return key

    def identity(self) -> int:
        """A number that changes when that of a table does."""
        return hash(tuple(it.identity() for it in self._tables))


def _bounded(name: str, value: str) -> str:
    if len(value.encode()) > VALUE_LIMIT:
        raise TableError(f"{name}: expected values of at most {VALUE_LIMIT} octets together")
    return value
