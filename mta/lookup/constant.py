"""A constant table, read: an answer is what was written, or there is none.

The file is read block by block, and no block is believed that does not have its sum: a file that
was truncated or damaged while it is open is a failure, never a key that is missing. It is not
mapped into memory, where a truncated file would kill the daemon.

A look-up costs one stat(2), which shows whether the file has been replaced, and as a rule two
pread(2), of the hash table and of the record. An open table holds four octets for each block of the
file, its directory, and the blocks that were used last.
"""

import os
import weakref
import zlib
from typing import Final

from mta.lookup.cdb import (
    BLOCK_SIZE,
    DIRECTORY_SIZE,
    FOOT_SIZE,
    LENGTHS,
    PAIR,
    PROBE_LIMIT,
    SUFFIX,
    TABLES,
    DamagedError,
    Foot,
    block_holds,
    decode_foot,
    hash_of,
    structure_end,
)
from mta.lookup.fold import fold
from mta.lookup.stamp import Stamp, stamp_of
from mta.lookup.table import KEY_LIMIT, VALUE_LIMIT, TableError
from mta.util.regular import NotRegularError, open_regular

__all__ = ["ConstantTable"]

_BLOCKS_KEPT: Final = 64


class ConstantTable:
    """The table `cdb:PATH`, in the file PATH.cdb; opened at the first look-up.

    Not for several threads at once.
    """

    def __init__(self, path: str) -> None:
        self._name = f"cdb:{path}"
        self._file = path + SUFFIX
        self._opened: _Opened | None = None

    @property
    def takes_parts(self) -> bool:
        """Parts of an address are keys."""
        return True

    def find(self, key: str) -> str | None:
        """The value of the folded key, or None; TableError if that cannot be known."""
        if len(key) > KEY_LIMIT:
            return None  # such a one is not built into a table
        # What is no UTF-8 cannot be there; it is asked for, so that a table that fails is noticed.
        octets = fold(key).encode("utf-8", "surrogatepass")
        opened = self._current()
        try:
            value = opened.find(octets)
            return None if value is None else value.decode()
        except DamagedError as error:
            self._forget()  # the next look-up may find it mended in place
            raise self._unusable(str(error)) from error
        except UnicodeDecodeError as error:
            raise self._unusable("a value is no UTF-8") from error
        except OSError as error:
            self._forget()
            raise TableError(f"{self._name}: {self._file}: {error.strerror}") from error

    def check(self) -> None:
        """Read all of the table; TableError says what is wrong with it."""
        opened = self._current()
        try:
            opened.verify()
        except DamagedError as error:
            self._forget()
            raise self._unusable(str(error)) from error
        except OSError as error:
            self._forget()
            raise TableError(f"{self._name}: {self._file}: {error.strerror}") from error

    def identity(self) -> int:
        """A number that is another one once the file was replaced or changed."""
        return self._stamp().number

    def _stamp(self) -> Stamp:
        try:
            return stamp_of(os.stat(self._file))
        except FileNotFoundError as error:
            self._forget()
            raise self._unusable("there is no such file") from error
        except OSError as error:
            self._forget()
            raise TableError(f"{self._name}: {self._file}: {error.strerror}") from error
        except ValueError as error:  # a NUL in the path
            raise TableError(f"{self._name}: {error}") from error

    def _current(self) -> "_Opened":
        stamp = self._stamp()
        if self._opened is None or self._opened.stamp != stamp:
            self._forget()
            try:
                self._opened = _Opened(self._file)
            except NotRegularError as error:
                raise self._unusable(f"it is {error}") from error
            except DamagedError as error:
                raise self._unusable(str(error)) from error
            except FileNotFoundError as error:
                raise self._unusable("there is no such file") from error
            except OSError as error:
                raise TableError(f"{self._name}: {self._file}: {error.strerror}") from error
        return self._opened

    def _forget(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _unusable(self, what: str) -> TableError:
        return TableError(f"{self._name}: {self._file}: {what}: run mta map build {self._name}")


class _Opened:
    """One file, open: its directory, the sums of its blocks, and the blocks used last."""

    def __init__(self, path: str) -> None:
        """Raises OSError, NotRegularError, DamagedError; nothing stays open then."""
        self._descriptor = open_regular(path)
        self.close = weakref.finalize(self, os.close, self._descriptor)
        try:
            found = os.fstat(self._descriptor)
            self.stamp = stamp_of(found)
            self._sums = b""
            self._blocks: dict[int, bytes] = {}
            self._foot = self._read_end(found.st_size)
            self._directory = self._octets(0, DIRECTORY_SIZE)
        except BaseException:
            self.close()
            raise

    def _read_end(self, file_size: int) -> Foot:
        """Foot and sums."""
        if file_size < DIRECTORY_SIZE + FOOT_SIZE:
            self._refuse_foreign(file_size)
        data = os.pread(self._descriptor, FOOT_SIZE, file_size - FOOT_SIZE)
        try:
            foot, checksum = decode_foot(data, file_size)
        except DamagedError:
            self._refuse_foreign(file_size)
            raise
        self._sums = os.pread(self._descriptor, foot.sums_size, foot.size)
        if len(self._sums) != foot.sums_size or zlib.crc32(self._sums) != checksum:
            raise DamagedError("its sums are damaged")
        return foot

    def _refuse_foreign(self, file_size: int) -> None:
        """Say so if the file is a whole cdb, with nothing behind it."""
        directory = os.pread(self._descriptor, DIRECTORY_SIZE, 0)
        if len(directory) < DIRECTORY_SIZE:
            raise DamagedError("it is truncated, or no table")
        if structure_end(directory) == file_size:
            raise DamagedError("it was made by another program: it has no checksums")

    def find(self, key: bytes) -> bytes | None:
        """The value; OSError or DamagedError if that cannot be known."""
        hashed = hash_of(key)
        place, slots = PAIR.unpack_from(self._directory, hashed % TABLES * PAIR.size)
        if not slots:
            return None
        first = hashed // TABLES % slots
        for probe in range(min(slots, PROBE_LIMIT)):
            slot = place + (first + probe) % slots * PAIR.size
            found, record = PAIR.unpack(self._octets(slot, PAIR.size))
            if not record:
                return None
            if found == hashed and (value := self._value(record, key)) is not None:
                return value
        raise DamagedError("a hash table in it has no end")

    def verify(self) -> None:
        """Read all blocks; OSError or DamagedError at the first one that is wrong."""
        for number in range(self._foot.blocks):
            self._read_block(number)

    def _value(self, record: int, key: bytes) -> bytes | None:
        """The value of a record if it is the key's."""
        key_size, size = LENGTHS.unpack(self._octets(record, LENGTHS.size))
        start = record + LENGTHS.size
        if key_size != len(key) or self._octets(start, key_size) != key:
            return None
        if size > VALUE_LIMIT:
            raise DamagedError(f"a value has {size} octets")
        return self._octets(start + key_size, size)

    def _octets(self, start: int, length: int) -> bytes:
        """Octets that were verified, across blocks if need be."""
        number, offset = divmod(start, BLOCK_SIZE)
        piece = self._block(number)[offset : offset + length]
        if len(piece) == length:
            return piece
        pieces = [piece]
        missing = length - len(piece)
        while missing:
            number += 1
            piece = self._block(number)[:missing]
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _block(self, number: int) -> bytes:
        block = self._blocks.pop(number, None)
        if block is None:
            block = self._read_block(number)
            if len(self._blocks) >= _BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
        self._blocks[number] = block  # last in the order, which is that of use
        return block

    def _read_block(self, number: int) -> bytes:
        if number >= self._foot.blocks:
            raise DamagedError("it points beyond its end")
        start = number * BLOCK_SIZE
        block = os.pread(self._descriptor, min(BLOCK_SIZE, self._foot.size - start), start)
        if not block_holds(self._sums, number, block):
            raise DamagedError(f"it is damaged at octets {start} to {start + BLOCK_SIZE - 1}")
        return block
