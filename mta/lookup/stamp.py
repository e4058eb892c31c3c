"""What stat(2) says of a file's content: as long as it is the same, so is the content.

A table is replaced by rename (another inode), or written in place, which changes the time of the
last change even where the time of modification is set back.
"""

import os

from msgspec import Struct

__all__ = ["Stamp", "stamp_of"]


class Stamp(Struct, frozen=True):
    """Device, inode and size, and when content and inode were changed, in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @property
    def number(self) -> int:
        """The same number for the same stamp, in every process."""
        # Python salts the hashes of text, not those of integers.
        return hash((self.device, self.inode, self.size, self.modified, self.changed))


def stamp_of(found: os.stat_result) -> Stamp:
    """The stamp of the file that this was asked of."""
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
