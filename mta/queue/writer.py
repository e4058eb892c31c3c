"""A queue file in the making: created in `incoming`, written, sealed, then committed.

    create 0600 (O_EXCL)  ->  write  ->  fchmod 0700 = complete  ->  fsync  ->  acknowledge

A message that is whole before much of it has gathered is one `open`, one `writev` and one `fchmod`.
A longer one is streamed, its head patched in when the lengths are known, and holds a lock until it
is closed: its flushing takes long, and a scan that finds it meanwhile must not have it delivered
before it is known to last. The file is open from its creation until then, and never opened again:
by that `mta.queue.leftovers` knows a living writer from a dead one.
"""

import errno
import fcntl
import os
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final

from mta.proto.envelope import Envelope
from mta.proto.status import MailError, permanent
from mta.queue.format import ENVELOPE_LIMIT, Body, encode_end, encode_envelope, encode_head
from mta.queue.layout import State, folder_of, path_of
from mta.queue.reader import COMPLETE_MODE, INCOMPLETE_MODE
from mta.queue.room import NO_SPACE, WRITE_ERROR

__all__ = ["QueueWriter", "write_failure"]

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_STATE: Final[State] = "incoming"
_BUFFER_LIMIT: Final = 262144  # octets of content kept in memory before they are streamed
_PIECES_LIMIT: Final = 512  # pieces in one writev; IOV_MAX is 1024
_OUT_OF_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_failure(error: OSError) -> MailError:
    """The temporary failure that an error of the queue's file system means to the client."""
    return MailError(NO_SPACE if error.errno in _OUT_OF_SPACE else WRITE_ERROR, str(error))


class QueueWriter:
    """One new queue file: `write` it and `seal` it, then a Committer does the rest.

    A temporary MailError of these two means that the file is gone; they block for as long as the
    page cache takes. The other methods raise OSError; `sync` waits for the disk.
    """

    __slots__ = (
        "_buffered",
        "_checksum",
        "_content_length",
        "_created",
        "_descriptor",
        "_encoded",
        "_pieces",
        "_position",
        "_root",
        "path",
        "queue_id",
    )

    def __init__(self, root: int, queue_id: str, envelope: Envelope) -> None:
        """Prepare a file below the queue directory's descriptor; nothing is created yet.

        A permanent MailError when the envelope is larger than a queue file can hold.
        """
        self.queue_id = queue_id
        self.path = path_of(_STATE, queue_id)
        self._root = root
        self._encoded = encode_envelope(envelope)
        if len(self._encoded) > ENVELOPE_LIMIT:
            permanent("5.5.3", "Too many recipients", f"{len(self._encoded)} octets", code=552)
        self._created = False
        self._descriptor = -1
        self._pieces: list[bytes] = []  # not yet written
        self._buffered = 0
        self._position = 0  # in the file
        self._content_length = 0
        self._checksum = 0

    @property
    def folder(self) -> str:
        """The folder that the file's name is in."""
        return folder_of(_STATE, self.queue_id)

    @property
    def content_length(self) -> int:
        """Octets of content so far."""
        return self._content_length

    @property
    def size(self) -> int:
        """Octets of the file once it is sealed."""
        return self._body().journal_offset

    def write(self, data: bytes) -> None:
        """Add to the content; the octets must not change afterwards."""
        self._checksum = zlib.crc32(data, self._checksum)
        self._content_length += len(data)
        self._pieces.append(data)
        self._buffered += len(data)
        if self._buffered >= _BUFFER_LIMIT or len(self._pieces) >= _PIECES_LIMIT:
            with self._failing():
                if self._descriptor < 0:
                    self._start_stream()
                self._flush()

    def seal(self) -> None:
        """Write what is left and make the file complete; it is not yet on stable storage."""
        body = self._body()
        end = encode_end(body, zlib.crc32(self._encoded), self._checksum)
        with self._failing():
            self._pieces.append(end)
            if self._descriptor >= 0:
                self._flush()
                _write_at(self._descriptor, encode_head(self.queue_id, body), 0)
            else:
                self._create()
                self._pieces[:0] = (encode_head(self.queue_id, body), self._encoded)
                self._flush()
            os.fchmod(self._descriptor, COMPLETE_MODE)

    def start_writing(self) -> None:
        """Ask the kernel to begin writing the sealed file to the disk, without waiting for it."""
        with suppress(OSError):  # a hint: `sync` tells what really happens
            # With nothing but dirty pages this drops nothing from the cache; it starts the writing.
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Wait until the sealed file is on stable storage; an OSError is final (fsync(2))."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Leave the file as it is; OSError if the close fails, twice is harmless."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def discard(self) -> None:
        """Remove the file, if there is one; twice is harmless, a failure is an OSError."""
        if self._created:
            self._created = False
            try:
                os.unlink(self.path, dir_fd=self._root)
            except FileNotFoundError:
                pass  # an operator was faster
            finally:
                self.close()

    def _body(self) -> Body:
        return Body(len(self._encoded), self._content_length)

    def _create(self) -> None:
        self._descriptor = os.open(self.path, _FLAGS, INCOMPLETE_MODE, dir_fd=self._root)
        self._created = True

    def _start_stream(self) -> None:
        self._create()
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Until it is sealed the file has a head of NULs, which nothing takes for a message.
        self._pieces[:0] = (bytes(Body.HEAD_SIZE), self._encoded)

    def _flush(self) -> None:
        _write_all(self._descriptor, self._pieces)
        self._pieces = []
        self._buffered = 0

    @contextmanager
    def _failing(self) -> Generator[None]:
        """Turn an OSError into its MailError, with no file left behind."""
        try:
            yield
        except OSError as error:
            failure = write_failure(error)
            try:
                self.discard()
            except OSError as second:
                failure.reason += f"; and the file could not be removed: {second}"
            raise failure from error


def _write_all(descriptor: int, pieces: list[bytes]) -> None:
    left: list[bytes | memoryview] = list(pieces)
    while left:
        written = os.writev(descriptor, left)
        if written == 0:
            raise OSError(errno.EIO, "a write of no octets")
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = memoryview(left[0])[written:]


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        if written == 0:
            raise OSError(errno.EIO, "a write of no octets")
        data = data[written:]
        offset += written
