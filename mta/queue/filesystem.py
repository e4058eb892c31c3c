"""What the queue has to know about the file system that it lies on."""

import ctypes
import os
from typing import Final

__all__ = ["fsync_covers_name"]

# linux/magic.h: fsync of a new file also puts its name on stable storage, because the journal (or
# the log tree) commits both in one transaction.
_JOURNALING: Final = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
}
_STATFS_SIZE: Final = 256  # octets; more than any architecture's struct statfs

_libc = ctypes.CDLL(None, use_errno=True)


def fsync_covers_name(descriptor: int) -> bool:
    """Whether fsync of a new file on this file system makes its directory entry durable too."""
    found = ctypes.create_string_buffer(_STATFS_SIZE)
    if _libc.fstatfs(ctypes.c_int(descriptor), found) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    # f_type is the first member, a word (fstatfs(2)); the magic numbers have 32 bits.
    return ctypes.c_ulong.from_buffer(found).value & 0xFFFFFFFF in _JOURNALING
