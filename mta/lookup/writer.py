"""A constant table, written: records first, as they come, then what finds them.

Memory is bounded by the number of records (twelve octets each), not by their size. Of a key that
comes again the first value stays. That it came again is known only when all hashes are, so such
records are taken out at the end.
"""

import os
import sys
from array import array
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import BinaryIO, Final

from msgspec import Struct

from mta.lookup.cdb import (
    BLOCK_SIZE,
    DIRECTORY_SIZE,
    FILE_LIMIT,
    LENGTHS,
    PAIR,
    PROBE_LIMIT,
    TABLES,
    Foot,
    encode_foot,
    encode_sum,
    hash_of,
)
from mta.lookup.table import KEY_LIMIT, VALUE_LIMIT

__all__ = ["ConstantWriter", "Repeated", "UnfitError"]

_PIECE: Final = 256 * BLOCK_SIZE  # octets that are read, written or moved at once
_TOO_MANY_ALIKE: Final = f"more than {PROBE_LIMIT} keys have hashes alike"


class UnfitError(Exception):
    """A constant table cannot hold this; the text says why."""


class Repeated(Struct, frozen=True):
    """A key that came again, the line of that, and the line where it was first."""

    key: str
    line: int
    first: int


class _Bucket:
    """What is known of the records of one hash table, in the order in which they came."""

    __slots__ = ("hashes", "lines", "places")

    def __init__(self) -> None:
        self.hashes = array("I")
        self.places = array("I")
        self.lines = array("I")


class _Surplus(Struct, frozen=True):
    """The record of a key that came again: where it begins and ends."""

    place: int
    end: int
    repeated: Repeated


class ConstantWriter:
    """Writes a table into an empty file that nobody else uses.

    The file writes to a descriptor that can be read, too; who opened it syncs and closes it.
    `limit`: octets that it may have.
    """

    def __init__(self, file: BinaryIO, limit: int = FILE_LIMIT) -> None:
        self._file = file
        self._limit = limit
        self._buckets = [_Bucket() for _ in range(TABLES)]
        self._count = 0
        self._end = DIRECTORY_SIZE
        self._file.write(bytes(DIRECTORY_SIZE))

    def add(self, key: str, value: str, line: int) -> None:
        """Append a record; UnfitError if its key, its value or the table grows too large."""
        octets, content = key.encode(), value.encode()
        if len(key) > KEY_LIMIT:
            raise UnfitError(f"a key of {len(key)} characters: at most {KEY_LIMIT} are allowed")
        if len(content) > VALUE_LIMIT:
            raise UnfitError(f"a value of {len(content)} octets: at most {VALUE_LIMIT} are allowed")
        record = LENGTHS.pack(len(octets), len(content)) + octets + content
        tables = 2 * (self._count + 1) * PAIR.size
        if Foot(self._end + len(record) + tables).file_size > self._limit:
            raise UnfitError(f"a table of more than {self._limit} octets")
        hashed = hash_of(octets)
        bucket = self._buckets[hashed % TABLES]
        bucket.hashes.append(hashed)
        bucket.places.append(self._end)
        bucket.lines.append(line)
        self._file.write(record)
        self._end += len(record)
        self._count += 1

    def finish(self) -> list[Repeated]:
        """Write the rest; the keys that came again, in the order of their lines.

        UnfitError if too many keys have hashes alike.
        """
        self._file.flush()
        surplus = sorted(self._find_surplus(), key=lambda one: one.place)
        if surplus:
            self._take_out(surplus)
        directory = b"".join([self._write_table(bucket) for bucket in self._buckets])
        self._file.seek(0)
        self._file.write(directory)
        self._file.flush()
        self._write_sums()
        self._file.flush()
        return [one.repeated for one in surplus]

    def _find_surplus(self) -> Iterator[_Surplus]:
        for bucket in self._buckets:
            known: dict[int, list[int]] = {}  # of each hash, the records with different keys
            for index, hashed in enumerate(bucket.hashes):
                alike = known.setdefault(hashed, [])
                if alike and (one := self._compare(bucket, index, alike)):
                    yield one
                elif len(alike) < PROBE_LIMIT:
                    alike.append(index)
                else:
                    raise UnfitError(_TOO_MANY_ALIKE)

    def _compare(self, bucket: _Bucket, index: int, alike: list[int]) -> _Surplus | None:
        """The record as a surplus one if its key is that of an earlier one."""
        place = bucket.places[index]
        key, end = self._key_at(place)
        for first in alike:
            if self._key_at(bucket.places[first])[0] == key:
                repeated = Repeated(key.decode(), bucket.lines[index], bucket.lines[first])
                return _Surplus(place, end, repeated)
        return None

    def _key_at(self, place: int) -> tuple[bytes, int]:
        """The key of the record that begins there, and where the record ends."""
        start = LENGTHS.size
        octets = os.pread(self._file.fileno(), start + 4 * KEY_LIMIT, place)
        key_size, size = LENGTHS.unpack_from(octets)
        return octets[start : start + key_size], place + start + key_size + size

    def _take_out(self, surplus: Sequence[_Surplus]) -> None:
        """Move what follows the surplus records, given in their order, into their places."""
        self._file.seek(surplus[0].place)
        for one, end in zip(surplus, [*(one.place for one in surplus[1:]), self._end], strict=True):
            for start in range(one.end, end, _PIECE):
                self._file.write(os.pread(self._file.fileno(), min(_PIECE, end - start), start))
        self._file.truncate()
        self._end = self._file.tell()
        places = array("I", [one.place for one in surplus])
        gone = [0, *accumulate(one.end - one.place for one in surplus)]  # octets, before the nth
        taken = set(places)
        for bucket in self._buckets:
            pairs = zip(bucket.hashes, bucket.places, strict=True)
            kept = [pair for pair in pairs if pair[1] not in taken]
            bucket.hashes = array("I", [hashed for hashed, _ in kept])
            bucket.places = array("I", [place - gone[bisect(places, place)] for _, place in kept])

    def _write_table(self, bucket: _Bucket) -> bytes:
        """Append the hash table of these records; its pair of the directory."""
        slots = 2 * len(bucket.hashes)
        table = array("I", bytes(slots * PAIR.size))
        for hashed, place in zip(bucket.hashes, bucket.places, strict=True):
            slot = hashed // TABLES % slots
            for _ in range(PROBE_LIMIT):
                if not table[2 * slot + 1]:
                    break
                slot = (slot + 1) % slots
            else:
                raise UnfitError(_TOO_MANY_ALIKE)
            table[2 * slot] = hashed
            table[2 * slot + 1] = place
        # A key that is not there is looked for up to the next free slot.
        taken = bytes(map(bool, table[1::2]))
        if bytes([True]) * PROBE_LIMIT in taken * 2:
            raise UnfitError(_TOO_MANY_ALIKE)
        if sys.byteorder == "big":
            table.byteswap()
        self._file.write(table)
        place, self._end = self._end, self._end + len(table) * table.itemsize
        return PAIR.pack(place, slots)

    def _write_sums(self) -> None:
        sums = bytearray()
        for start in range(0, self._end, _PIECE):
            piece = os.pread(self._file.fileno(), min(_PIECE, self._end - start), start)
            for offset in range(0, len(piece), BLOCK_SIZE):
                sums += encode_sum(piece[offset : offset + BLOCK_SIZE])
        self._file.seek(self._end)
        self._file.write(sums)
        self._file.write(encode_foot(self._end, bytes(sums)))
