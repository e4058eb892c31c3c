"""What every lookup table is: a key to its value, to nothing, or to a failure that will pass.

A table that cannot be read, is missing or damaged raises `TableError`: it never says that it does
not have the key, for mail would be refused or sent astray by that.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Protocol

from msgspec import Meta, Struct

__all__ = ["KEY_LIMIT", "VALUE_LIMIT", "Hit", "Key", "Table", "TableError", "search"]

KEY_LIMIT: Final = 1024  # characters of a key
VALUE_LIMIT: Final = 50_000  # octets of a table's value


class TableError(Exception):
    """A table gives no answer now; the text names it, what is wrong, and what to do."""


class Key(Struct, frozen=True, array_like=True):
    """A key to ask for; `partial`: a part of an address, which tables of patterns are not asked."""

    text: Annotated[str, Meta(max_length=KEY_LIMIT)]
    partial: bool = False


class Table(Protocol):
    """One table, opened; it notices by itself when its file has been replaced."""

    @property
    def takes_parts(self) -> bool:
        """Whether parts of an address are keys here; patterns are matched with the whole alone."""

    def find(self, key: str) -> str | None:
        """The value of the key, or None; TableError if that cannot be known."""

    def identity(self) -> int:
        """A number that changes when the content may have; TableError as with `find`."""


class Hit(Struct, frozen=True):
    """What was found: the number of the key, and its value."""

    key: int
    value: str


def search(tables: Sequence[Table], keys: Iterable[Key]) -> Hit | None:
    """The first key that a table has: all tables are asked for a key before the next one is."""
    for number, key in enumerate(keys):
        for table in tables:
            if key.partial and not table.takes_parts:
                continue
            value = table.find(key.text)
            if value is not None:
                return Hit(number, value)
    return None
