"""Tables whose content is their name: `inline` and `static`. They never fail, and never change."""

from mta.lookup.fold import fold
from mta.lookup.syntax import TableName

__all__ = ["InlineTable", "StaticTable"]


class InlineTable:
    """The keys and values that the name of `inline:{KEY=VALUE, ...}` lists."""

    def __init__(self, name: TableName) -> None:
        self._values: dict[str, str] = {}
        for pair in name.pairs:
            self._values.setdefault(fold(pair.key), pair.value)
        self._identity = name.identity

    @property
    def takes_parts(self) -> bool:
        """Parts of an address are keys."""
        return True

    def find(self, key: str) -> str | None:
        """The value of the key in whatever case."""
        return self._values.get(fold(key))

    def identity(self) -> int:
        """Always the same number for one name, in every process."""
        return self._identity


class StaticTable:
    """`static:VALUE`: the same value for every key."""

    def __init__(self, name: TableName) -> None:
        self._value = name.argument
        self._identity = name.identity

    @property
    def takes_parts(self) -> bool:
        """Parts of an address are keys, as all else is."""
        return True

    def find(self, key: str) -> str | None:
        """The value."""
        return self._value

    def identity(self) -> int:
        """Always the same number for one name, in every process."""
        return self._identity
