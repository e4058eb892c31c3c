"""The content of a message, read from a descriptor that others hold too.

The law: read with pread, for the position is shared; believe no length, for a file that ends early
must never be delivered as if it were whole; use little memory, whatever the size.
"""

import os
from collections.abc import Iterator
from typing import Final

from mta.proto.status import temporary
from mta.util.descriptors import close_read

__all__ = ["CHUNK_SIZE", "ContentReader"]

CHUNK_SIZE: Final = 128 * 1024  # octets


class ContentReader:
    """The `length` octets at `offset` of a queue file, as often as they are wanted.

    `beginning` comes before them, and counts in the attribute `length`.
    """

    def __init__(self, descriptor: int, offset: int, length: int, beginning: bytes = b"") -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._beginning = beginning
        self.length = len(beginning) + length

    @property
    def descriptor(self) -> int:
        """The descriptor of the whole queue file, which stays the reader's."""
        return self._descriptor

    def chunks(self, size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """Yield the content in pieces of at most `size` octets.

        MailError (451 4.3.0) when the file ends early or cannot be read.
        """
        beginning = self._beginning
        for start in range(0, len(beginning), size):
            yield beginning[start : start + size]
        offset, end = self._offset, self._offset + self.length - len(beginning)
        while offset < end:
            try:
                chunk = os.pread(self._descriptor, min(size, end - offset), offset)
            except OSError as error:
                temporary("4.3.0", "queue file read error", str(error))
            if not chunk:
                temporary("4.3.0", "queue file truncated", f"{end - offset} octets are missing")
            offset += len(chunk)
            yield chunk

    def whole(self) -> bytes:
        """All of it at once, where it is known to be little; MailError as from `chunks`."""
        return b"".join(self.chunks())

    def duplicate(self) -> "ContentReader":
        """A reader with a descriptor of its own, to be closed."""
        descriptor = os.dup(self._descriptor)
        length = self.length - len(self._beginning)
        return ContentReader(descriptor, self._offset, length, self._beginning)

    def with_beginning(self, beginning: bytes, instead_of: int) -> "ContentReader":
        """A reader of the same file, with other octets for its first `instead_of` ones."""
        return ContentReader(
            self._descriptor, self._offset + instead_of, self.length - instead_of, beginning
        )

    def close(self) -> None:
        """Close the descriptor; for whoever owns it."""
        close_read(self._descriptor)

    def headers(self, limit: int) -> bytes:
        """The header section as far as `limit` octets, its last CRLF included.

        MailError as from `chunks`.
        """
        head = b"\r\n"
        for chunk in self.chunks(min(limit, CHUNK_SIZE)):
            head += chunk
            end = head.find(b"\r\n\r\n", max(0, len(head) - len(chunk) - 3))
            if end >= 0:
                return head[2 : end + 2]
            if len(head) >= limit:
                break
        return head[2 : limit + 2]
