"""The medium as a power cut left it, made anew for each cut, in memory.

What flushes have covered grows with the cuts, which therefore come in the order of their positions.
"""

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from reliability.filesystems.history import History, Write

__all__ = ["Image"]

_PIECE: Final = 1 << 20  # octets


class Image:
    """What is certainly on the medium, advancing; close it when no more cuts come."""

    def __init__(self, history: History, size: int) -> None:
        self._history = history
        self._size = size
        self._covered = 0
        self._certain = _sparse_file(size)

    def close(self) -> None:
        os.close(self._certain)

    def advance(self, covered: int) -> None:
        """Bring what flushes have covered up to this position onto the medium."""
        assert covered >= self._covered, "cuts come in order"
        _apply(self._certain, self._history.writes(self._covered, covered))
        self._covered = covered

    @contextmanager
    def cut(self, kept: Sequence[Write]) -> Iterator[int]:
        """A copy of the medium with these later writes, as an open file."""
        copy = _sparse_file(self._size)
        try:
            _copy(self._certain, copy)
            _apply(copy, kept)
            yield copy
        finally:
            os.close(copy)


def _sparse_file(size: int) -> int:
    # A name of its own: btrfs-progs take loop devices over files of one name for one device.
    descriptor = os.memfd_create(f"cut-{uuid.uuid4()}")
    os.ftruncate(descriptor, size)
    return descriptor


def _apply(descriptor: int, writes: Sequence[Write]) -> None:
    for write in writes:
        _write(descriptor, write.data, write.offset)


def _write(descriptor: int, data: memoryview | bytes, offset: int) -> None:
    if os.pwrite(descriptor, data, offset) != len(data):
        raise OSError("a file in memory took less than it was given")


def _copy(source: int, target: int) -> None:
    """Copy what is no hole."""
    size, begin = os.fstat(source).st_size, 0
    while begin < size:
        try:
            begin = os.lseek(source, begin, os.SEEK_DATA)
        except OSError:  # nothing but a hole follows (ENXIO)
            return
        end = os.lseek(source, begin, os.SEEK_HOLE)
        while begin < end:
            piece = os.pread(source, min(_PIECE, end - begin), begin)
            _write(target, piece, begin)
            begin += len(piece)
