"""Constant tables for tests: made without a source, and made as no writer makes them."""

import os
from collections.abc import Iterable
from pathlib import Path

from mta.lookup.cdb import BLOCK_SIZE, DIRECTORY_SIZE, FILE_LIMIT, PAIR, encode_foot, encode_sum
from mta.lookup.writer import ConstantWriter, Repeated

__all__ = ["hash_tables", "sealed", "write_table"]


def write_table(
    path: Path, items: Iterable[tuple[str, str]], limit: int = FILE_LIMIT
) -> list[Repeated]:
    """Write the file that `path` names, with these records in lines 1, 2, ..."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    with open(descriptor, "wb") as file:
        writer = ConstantWriter(file, limit)
        for line, (key, value) in enumerate(items, 1):
            writer.add(key, value, line)
        return writer.finish()


def sealed(cdb: bytes) -> bytes:
    """The octets of a cdb with sums and foot behind them, whatever they are."""
    blocks = [cdb[start : start + BLOCK_SIZE] for start in range(0, len(cdb), BLOCK_SIZE)]
    sums = b"".join(map(encode_sum, blocks))
    return cdb + sums + encode_foot(len(cdb), sums)


def hash_tables(place: int, slots: int) -> bytes:
    """A directory that sends all keys to one hash table."""
    return PAIR.pack(place, slots) * (DIRECTORY_SIZE // PAIR.size)
