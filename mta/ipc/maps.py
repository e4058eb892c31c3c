"""The tables of one parameter, whoever opens them: this process, or the lookup service.

A table that gives no answer is a temporary failure (451 4.3.0), and so is an empty value: where a
key has no value, a table must say that it has no such key.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from mta.lookup.open import open_table
from mta.lookup.syntax import parse
from mta.lookup.table import Hit, Key, Table, TableError, search
from mta.proto.status import MailError, Status

__all__ = [
    "LOOKUP_FAILURE",
    "Finder",
    "LocalMaps",
    "Maps",
    "ServedMaps",
    "identity_of",
    "open_maps",
    "table_failure",
]

_TROUBLE: Final = -1  # the identity of a table that cannot tell it
LOOKUP_FAILURE: Final = Status(451, "4.3.0", "Temporary lookup failure")


class Maps(Protocol):
    """Tables in their order."""

    async def find(self, keys: Sequence[Key]) -> Hit | None:
        """What the tables have for the first key that one of them has; MailError 451 4.3.0."""

    def identity(self) -> int | None:
        """Changes when the content may have, 64 bits; None if that cannot be seen from here."""


class Finder(Protocol):
    """Who answers for tables elsewhere: the client of the lookup service."""

    async def find(self, parameter: str, keys: Sequence[Key]) -> Hit | None:
        """As `Maps.find`, for as many keys as there are."""


class LocalMaps:
    """Tables that answer at once, opened here: `find` never waits."""

    def __init__(self, parameter: str, tables: Sequence[Table]) -> None:
        self._parameter = parameter
        self._tables = tables

    async def find(self, keys: Sequence[Key]) -> Hit | None:
        """See `Maps`."""
        try:
            hit = search(self._tables, keys)
        except TableError as error:
            raise table_failure(self._parameter, str(error)) from error
        return _sound(self._parameter, keys, hit)

    def identity(self) -> int | None:
        """See `Maps`; the files are looked at."""
        return identity_of(map(_identity, self._tables))


class ServedMaps:
    """Tables that the lookup service opens, for they may block or only it may read them."""

    def __init__(self, parameter: str, finder: Finder) -> None:
        self._parameter = parameter
        self._finder = finder

    async def find(self, keys: Sequence[Key]) -> Hit | None:
        """See `Maps`."""
        hit = await self._finder.find(self._parameter, keys)
        return _sound(self._parameter, keys, hit)

    def identity(self) -> int | None:
        """See `Maps`: nothing is known of them."""
        return None


def open_maps(parameter: str, texts: Sequence[str], finder: Finder) -> Maps | None:
    """The tables that a parameter names, if any; those that may block are the finder's."""
    names = [parse(text) for text in texts]
    if any(name.blocking for name in names):
        return ServedMaps(parameter, finder)
    return LocalMaps(parameter, [open_table(name) for name in names]) if names else None


def identity_of(numbers: Iterable[int]) -> int:
    """One number for several, the same in every process."""
    packed = b"".join(struct.pack("<Q", number % 2**64) for number in numbers)
    digest = hashlib.blake2b(packed, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1  # as msgpack and the messages have it


def table_failure(parameter: str, reason: str) -> MailError:
    """What a peer and the log are told of a table that gives no sound answer."""
    return MailError(LOOKUP_FAILURE, f"{parameter}: {reason}")


def _identity(table: Table) -> int:
    try:
        return table.identity()
    except TableError:
        return _TROUBLE


def _sound(parameter: str, keys: Sequence[Key], hit: Hit | None) -> Hit | None:
    if hit is not None and not hit.value.strip():
        text = f"an empty value for {keys[hit.key].text!r}; a key without a value must not be there"
        raise table_failure(parameter, text)
    return hit
