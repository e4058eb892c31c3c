"""What may stand in a file of which not all writes are durable.

Of a write that no fsync covers each block of 4096 octets may be there or not, or be zeros, or be
torn at any octet, each for itself and whatever the order of the writes; the file may have any size
between that of what is durable and that of all that was issued. Durable writes are whole, and under
the others only where those do not lie over them.
"""

import random
from collections.abc import Sequence
from typing import Final

from reliability.powercut.operations import Write

__all__ = ["BLOCK", "after", "some", "torn"]

BLOCK: Final = 4096  # octets


def after(writes: Sequence[Write]) -> bytes:
    """The octets when all these writes have happened."""
    octets = bytearray()
    for write in writes:
        _lay(octets, write.offset, write.data)
    return bytes(octets)


def some(writes: Sequence[Write], durable: int, source: random.Random) -> bytes:
    """The first `durable` writes, and each other whole or not at all."""
    kept = [write for write in writes[durable:] if source.random() < 0.5]
    return after([*writes[:durable], *kept])


def torn(writes: Sequence[Write], durable: int, source: random.Random) -> bytes:
    """The first `durable` writes, and of the others what chance leaves, block by block."""
    octets = bytearray(after(writes[:durable]))
    least, most = len(octets), len(after(writes))
    for write in writes[durable:]:
        for start, piece in _blocks(write):
            match source.randrange(4):
                case 0:
                    _lay(octets, start, piece)
                case 1:
                    _lay(octets, start, bytes(len(piece)))
                case 2:
                    _lay(octets, start, piece[: source.randrange(len(piece) + 1)])
                case _:
                    pass  # as it was
    size = source.choice((least, most, source.randint(least, most)))
    return bytes(octets[:size].ljust(size, b"\0"))


def _blocks(write: Write) -> list[tuple[int, bytes]]:
    pieces = []
    position, end = write.offset, write.offset + len(write.data)
    while position < end:
        following = min(end, position - position % BLOCK + BLOCK)
        pieces.append((position, write.data[position - write.offset : following - write.offset]))
        position = following
    return pieces


def _lay(octets: bytearray, offset: int, data: bytes) -> None:
    if len(octets) < offset:
        octets += bytes(offset - len(octets))
    octets[offset : offset + len(data)] = data
