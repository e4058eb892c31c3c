"""Tables that answer at once, asked in the event loop."""

from collections.abc import Sequence

from mta.ipc.messages import Found, Key
from mta.lookup.open import open_table
from mta.lookup.syntax import TableName
from mta.lookup.table import Hit, search

__all__ = ["QuickTables", "found"]


class QuickTables:
    """The tables of a parameter, opened at the first request."""

    def __init__(self, names: Sequence[TableName]) -> None:
        self._tables = [open_table(name) for name in names]

    def find(self, keys: Sequence[Key]) -> Found:
        """See `Find`; TableError if a table gives no answer."""
        return found(search(self._tables, keys))


def found(hit: Hit | None) -> Found:
    """The reply that a hit means."""
    return Found(-1, "") if hit is None else Found(hit.key, hit.value)
