"""A queue file that lies in the queue, read with suspicion.

The file is opened below a directory descriptor, never through a symbolic link, and must be a
regular file of ours with one link and the mode of a complete file; then head, envelope, end record
and journal must parse. Content that came with the first read is held against its checksum, other
content is not read here: whoever needs it reads it with `pread` from `descriptor`, which is
read-only and may be passed on. Who gets it so sees no path and trusts no
more: `read_passed` holds the file to the same.
"""

import os
import stat
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from mta.proto.envelope import Envelope
from mta.proto.status import Disposition, ReportKind
from mta.queue.errors import QueueFileCorrupt, QueueFileIncomplete, QueueFileMissing
from mta.queue.format import Body, decode_end, decode_envelope, decode_head
from mta.queue.journal import Attempted, JournalRecord, JournalScanner, Notified, Retry
from mta.queue.layout import State, path_of

__all__ = [
    "COMPLETE_MODE",
    "INCOMPLETE_MODE",
    "QueueFile",
    "StoredMessage",
    "open_message",
    "read_passed",
]

INCOMPLETE_MODE: Final = 0o600
COMPLETE_MODE: Final = 0o700

_CREATED_IN: Final[State] = "incoming"
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FIRST_READ: Final = 16384  # octets: most messages whole, with one call
_CHUNK: Final = 262144
_JOURNAL_LIMIT: Final = 1024 * 1024 * 1024


class QueueFile:
    """One open queue file; close it, or use it as a context manager.

    `outcomes` holds the last word on each recipient attempted so far, by its index; `reported` the
    bounced recipients of whom the sender was told, `delay_reported` whether he was told of a delay;
    `tried` is the earliest moment that the journal tells of, None where there is none. `verified`
    tells whether the content was held against its checksum already.
    """

    __slots__ = (
        "_content_checksum",
        "attempts",
        "content_length",
        "content_offset",
        "delay_reported",
        "descriptor",
        "envelope",
        "next_attempt",
        "outcomes",
        "queue_id",
        "reason",
        "reported",
        "size",
        "tried",
        "verified",
    )

    def __init__(self, queue_id: str, descriptor: int) -> None:
        """Parse the open file; the descriptor is the caller's if this raises QueueFileCorrupt."""
        self.queue_id = queue_id
        self.descriptor = descriptor
        self.attempts = 0
        self.next_attempt = 0.0  # seconds since the epoch; 0 = at once
        self.reason = ""  # of the last deferral
        self.outcomes: dict[int, Attempted] = {}
        self.reported: set[int] = set()
        self.delay_reported = False
        self.tried: float | None = None
        self.size = os.fstat(descriptor).st_size  # octets of the whole file
        # No more than is there: a large buffer that shrinks to a small one leaves a hole in the
        # heap, and while the small one is kept for reuse (glibc's tcache) no other fits into it.
        first = os.pread(descriptor, min(_FIRST_READ, self.size), 0)
        body = decode_head(queue_id, first)
        if body.journal_offset > self.size:
            raise QueueFileCorrupt(queue_id, "truncated")
        self.content_offset = body.content_offset
        self.content_length = body.content_length
        encoded = self._read(first, body.HEAD_SIZE, body.envelope_length)
        end = self._read(first, body.end_offset, body.END_SIZE)
        envelope_checksum, self._content_checksum = decode_end(queue_id, body, end)
        if zlib.crc32(encoded) != envelope_checksum:
            raise QueueFileCorrupt(queue_id, "damaged envelope")
        self.envelope: Envelope = decode_envelope(queue_id, encoded)
        self.verified = body.end_offset <= len(first)
        if self.verified:
            content = memoryview(first)[body.content_offset : body.end_offset]
            self._check_content(zlib.crc32(content))
        self._read_journal(first, body)

    @property
    def done(self) -> frozenset[int]:
        """The indices of the recipients that are finished: delivered or bounced."""
        return frozenset(
            index
            for index, outcome in self.outcomes.items()
            if outcome.disposition is not Disposition.DEFERRED
        )

    def content(self) -> Iterator[bytes]:
        """The content in pieces; QueueFileCorrupt when the file ends too early."""
        position, left = self.content_offset, self.content_length
        while left:
            piece = os.pread(self.descriptor, min(left, _CHUNK), position)
            if not piece:
                raise QueueFileCorrupt(self.queue_id, "truncated")
            yield piece
            position += len(piece)
            left -= len(piece)

    def verify_content(self) -> None:
        """Read the whole content; QueueFileCorrupt if its checksum does not hold."""
        checksum = 0
        for piece in self.content():
            checksum = zlib.crc32(piece, checksum)
        self._check_content(checksum)
        self.verified = True

    def detach(self) -> int:
        """Give the descriptor away: whoever gets it closes it."""
        descriptor, self.descriptor = self.descriptor, -1
        return descriptor

    def close(self) -> None:
        """Close the descriptor; twice is harmless."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_content(self, checksum: int) -> None:
        if checksum != self._content_checksum:
            raise QueueFileCorrupt(self.queue_id, "damaged content")

    def _read(self, first: bytes, offset: int, length: int) -> bytes:
        """Exactly these octets of the file, from what is already read if they are in it."""
        if offset + length <= len(first):
            return first[offset : offset + length]
        pieces = bytearray()
        while len(pieces) < length:
            piece = os.pread(self.descriptor, length - len(pieces), offset + len(pieces))
            if not piece:
                raise QueueFileCorrupt(self.queue_id, "truncated")
            pieces += piece
        return bytes(pieces)

    def _read_journal(self, first: bytes, body: Body) -> None:
        position = body.journal_offset
        if self.size - position > _JOURNAL_LIMIT:
            raise QueueFileCorrupt(self.queue_id, f"a journal of {self.size - position} octets")
        scanner = JournalScanner()
        while position < self.size:
            length = min(_CHUNK, self.size - position)
            piece = self._read(first, position, length)
            position += length
            try:
                for record in scanner.feed(piece, last=position >= self.size):
                    self._note(record)
            except ValueError as error:
                raise QueueFileCorrupt(self.queue_id, f"damaged journal: {error}") from error

    def _note(self, record: JournalRecord) -> None:
        self.tried = record.when if self.tried is None else min(self.tried, record.when)
        match record:
            case Retry():
                self.attempts = record.attempts
                self.next_attempt = record.next_attempt
                self.reason = record.reason
            case Notified(kind=ReportKind.FAILURE):
                self.reported.update(
                    index
                    for index, outcome in self.outcomes.items()
                    if outcome.disposition is Disposition.BOUNCED
                )
            case Notified():
                self.delay_reported = True
            case Attempted():
                known = self.outcomes.get(record.index)
                delivered = known is not None and known.disposition is Disposition.DELIVERED
                if record.index < len(self.envelope.recipients) and not delivered:
                    self.outcomes[record.index] = record


class StoredMessage(QueueFile):
    """One message of the queue, and the state that it was found in."""

    __slots__ = ("state",)

    def __init__(self, state: State, queue_id: str, descriptor: int) -> None:
        self.state = state
        super().__init__(queue_id, descriptor)


def read_passed(queue_id: str, descriptor: int) -> QueueFile:
    """Read a queue file that another daemon opened; the descriptor stays the caller's to close.

    Raises as `open_message` does; missing is a file that has left the queue since.
    """
    _check_file(queue_id, os.fstat(descriptor))
    return QueueFile(queue_id, descriptor)


def open_message(root: int, state: State, queue_id: str) -> StoredMessage:
    """Open one message below the queue directory's descriptor.

    QueueFileMissing, QueueFileIncomplete and QueueFileCorrupt tell why there is none; an OSError
    (descriptors or memory exhausted, an input/output error) says nothing about the file.
    """
    path = path_of(state, queue_id)
    try:
        descriptor = os.open(path, _FLAGS, dir_fd=root)
    except FileNotFoundError:
        raise QueueFileMissing(path) from None
    except OSError:
        # A link, a socket, a file of another user: then the fault is the file's, not the system's.
        _check_entry(root, path, state)
        raise
    try:
        _check_file(path, os.fstat(descriptor), state)
        return StoredMessage(state, queue_id, descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _check_entry(root: int, path: str, state: State) -> None:
    try:
        found = os.lstat(path, dir_fd=root)
    except FileNotFoundError:
        raise QueueFileMissing(path) from None
    _check_file(path, found, state)


def _check_file(path: str, found: os.stat_result, state: State = _CREATED_IN) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise QueueFileCorrupt(path, "not a regular file")
    if found.st_nlink == 0:
        raise QueueFileMissing(path)  # removed between open and fstat
    if found.st_nlink != 1:
        raise QueueFileCorrupt(path, f"has {found.st_nlink} links")
    if found.st_uid != os.geteuid():
        raise QueueFileCorrupt(path, f"belongs to uid {found.st_uid}")
    mode = stat.S_IMODE(found.st_mode)
    if mode == INCOMPLETE_MODE and state == _CREATED_IN:  # elsewhere nobody completes it
        raise QueueFileIncomplete(path)
    if mode != COMPLETE_MODE:
        raise QueueFileCorrupt(path, f"has mode {mode:04o}")
