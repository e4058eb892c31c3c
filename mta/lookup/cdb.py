"""The constant table: octets on the disk and what they mean. No IO.

    directory   256 pairs: where a hash table begins, and how many slots it has
    records     length of key and of value, key, value
    tables      256 hash tables; a slot is the hash of a key and where its record begins, or zeros
    sums        CRC-32 of each block of all that precedes, the last one as short as it is
    foot        magic, version, octets that precede the sums, CRC-32 of the sums and of the foot

Directory, records and tables are D. J. Bernstein's cdb, which Postfix and all tools for cdb read;
they do not look at what follows. Numbers are little-endian, as in cdb. A block is found damaged
when it is read, so no look-up believes an octet that was not written by `mta map build`.
"""

import struct
import zlib
from typing import Final

from msgspec import Struct

__all__ = [
    "BLOCK_SIZE",
    "DIRECTORY_SIZE",
    "FILE_LIMIT",
    "FOOT_SIZE",
    "LENGTHS",
    "PAIR",
    "PROBE_LIMIT",
    "SUFFIX",
    "TABLES",
    "VERSION",
    "DamagedError",
    "Foot",
    "block_holds",
    "decode_foot",
    "encode_foot",
    "encode_sum",
    "hash_of",
    "structure_end",
]

VERSION: Final = 1
SUFFIX: Final = ".cdb"  # of the file, after the table's name
BLOCK_SIZE: Final = 4096  # octets
FILE_LIMIT: Final = 2**32 - 1  # octets: places are numbers of 32 bits
TABLES: Final = 256
# Slots that a look-up tries. Half of them are free, so honest keys need some tens at most; keys
# chosen to have the same hash would make a table a list.
PROBE_LIMIT: Final = 1000

PAIR: Final = struct.Struct("<II")  # place and slots of a hash table; hash and place of a record
LENGTHS: Final = struct.Struct("<II")  # octets of key and of value
DIRECTORY_SIZE: Final = TABLES * PAIR.size

_MAGIC: Final = b"PHCDBSUM"
_FOOT: Final = struct.Struct("<8sIIII")
FOOT_SIZE: Final = _FOOT.size
_SUM: Final = struct.Struct("<I")


class DamagedError(Exception):
    """The octets are no constant table of ours; the text says why."""


class Foot(Struct, frozen=True):
    """The extents of a table; all follow from the octets that precede the sums."""

    size: int  # octets of cdb

    @property
    def blocks(self) -> int:
        """How many there are, and sums of them."""
        return -(-self.size // BLOCK_SIZE)

    @property
    def sums_size(self) -> int:
        """Octets of the sums."""
        return self.blocks * _SUM.size

    @property
    def file_size(self) -> int:
        """Octets of the whole file."""
        return self.size + self.sums_size + FOOT_SIZE


def hash_of(key: bytes) -> int:
    """Bernstein's hash of a key, of 32 bits."""
    value = 5381
    for octet in key:
        value = value * 33 & 0xFFFFFFFF ^ octet
    return value


def encode_foot(size: int, sums: bytes) -> bytes:
    """The foot of a table with so many octets of cdb, and these sums of its blocks."""
    foot = _FOOT.pack(_MAGIC, VERSION, size, zlib.crc32(sums), 0)
    body = foot[: -_SUM.size]
    return body + _SUM.pack(zlib.crc32(body))


def decode_foot(data: bytes, file_size: int) -> tuple[Foot, int]:
    """What the last octets of a file promise, and the CRC-32 of its sums.

    DamagedError if it is not our foot, or not that of a file of this size.
    """
    if len(data) != FOOT_SIZE or not data.startswith(_MAGIC):
        raise DamagedError("it is truncated or damaged")
    _, version, size, sums, checksum = _FOOT.unpack(data)
    if checksum != zlib.crc32(data[: -_SUM.size]):
        raise DamagedError("its end is damaged")
    if version != VERSION:
        raise DamagedError(f"it is of another version ({version})")
    foot = Foot(size)
    if size < DIRECTORY_SIZE or foot.file_size != file_size:
        raise DamagedError(f"it has {file_size} octets instead of {foot.file_size}")
    return foot, sums


def encode_sum(block: bytes) -> bytes:
    """What stands among the sums for a block."""
    return _SUM.pack(zlib.crc32(block))


def block_holds(sums: bytes, number: int, block: bytes) -> bool:
    """Whether the block of this number is as it was written."""
    start = number * _SUM.size
    return zlib.crc32(block) == int.from_bytes(sums[start : start + _SUM.size], "little")


def structure_end(directory: bytes) -> int:
    """Where a cdb with this directory ends, whoever made it."""
    ends = [place + slots * PAIR.size for place, slots in PAIR.iter_unpack(directory)]
    return max(map(int, ends))
