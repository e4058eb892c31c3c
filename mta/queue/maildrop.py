"""A file of the maildrop: a message that `sendmail` left where it found nobody to hand it to.

    head       "PHM", version, length of the envelope
    envelope   a msgpack array: `Submission`
    content    the message, its lines ending in CRLF
    end        mark, both lengths, both checksums, the record's own checksum (CRC-32)

Numbers are big-endian. The file is written as `.NAME` (mta.queue.maildrop_writer) and bears NAME
once it is whole. It is gossip all the same: any user may write whatever he likes there, may keep it
open, and change it while it is read. The last of the content is handed out when all of it agreed
with the end record, so that who commits with the last piece never takes half a message.
"""

import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from mta.proto.envelope import Address, HostName
from mta.queue.errors import QueueFileCorrupt, QueueFileMissing

__all__ = [
    "DROPPED_MODE",
    "ENVELOPE_LIMIT",
    "NAME_LIMIT",
    "DroppedMessage",
    "MaildropEncoder",
    "Submission",
    "is_dropped_name",
    "open_dropped",
]

DROPPED_MODE: Final = 0o640  # the group is the folder's: that of pickup's user
ENVELOPE_LIMIT: Final = 16 * 1024 * 1024  # octets
NAME_LIMIT: Final = 200  # octets
PIECE: Final = 60_000  # octets of content handed out at a time: they fit a frame

_VERSION: Final = 1
_MAGIC: Final = b"PHM"
_END_MARK: Final = b"\xf2PHE"
_HEAD: Final = struct.Struct(">3sBI")
_END: Final = struct.Struct(">4sIQIII")
_CHECKSUM_SIZE: Final = 4
# Time, process, boot, randomness, host: see mta.queue.maildrop_writer.
_NAME: Final = re.compile(
    r"[0-9]{1,20}-[0-9]{1,10}-[0-9a-f]{12}-[0-9a-f]{32}-[A-Za-z0-9_]{1,64}", re.ASCII
)
# A FIFO must not make us wait, and a link must not lead elsewhere.
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Submission(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The envelope as the caller gave it: addresses may lack their domain."""

    sender: Address  # empty: the null reverse-path
    recipients: Annotated[tuple[Address, ...], Meta(min_length=1)]
    body_8bit: bool  # -B8BITMIME, or there are such octets in what was known of the message
    host: HostName  # on which it was written, by that host's own word


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Submission)


def is_dropped_name(name: str) -> bool:
    """Whether a finished file may bear the name: nothing else in the folder is one."""
    return _NAME.fullmatch(name) is not None


class MaildropEncoder:
    """The octets of one file, in their order: `opening`, any number of `content`, `ending`.

    ValueError if the envelope is larger than `ENVELOPE_LIMIT`.
    """

    def __init__(self, submission: Submission) -> None:
        self._envelope = _encoder.encode(submission)
        if len(self._envelope) > ENVELOPE_LIMIT:
            raise ValueError(f"an envelope of {len(self._envelope)} octets")
        self._length = 0
        self._checksum = 0

    def opening(self) -> bytes:
        """What comes before the content."""
        return _HEAD.pack(_MAGIC, _VERSION, len(self._envelope)) + self._envelope

    def content(self, data: bytes) -> bytes:
        """The next octets of content, which stay as they are."""
        self._length += len(data)
        self._checksum = zlib.crc32(data, self._checksum)
        return data

    def ending(self) -> bytes:
        """What comes after the content, and makes the file whole."""
        envelope = self._envelope
        record = _END.pack(
            _END_MARK, len(envelope), self._length, zlib.crc32(envelope), self._checksum, 0
        )
        body = record[:-_CHECKSUM_SIZE]
        return body + zlib.crc32(body).to_bytes(_CHECKSUM_SIZE, "big")


class DroppedMessage:
    """An open file whose frame and envelope are sound; close it.

    `owner` is the user id that the file system names: nobody's, where a file server squashes root.
    `size` is the octets of content.
    """

    def __init__(self, name: str, descriptor: int, found: os.stat_result) -> None:
        """Read a file's frame; QueueFileCorrupt if it is not sound, OSError if it cannot be read.

        The descriptor is this object's from the beginning of a successful call.
        """
        self.name = name
        self.owner = found.st_uid
        self.identity = (found.st_dev, found.st_ino)
        self._descriptor = descriptor
        self._frame(found.st_size)

    def _frame(self, file_size: int) -> None:
        magic, version, length = _HEAD.unpack(self._exactly(_HEAD.size, 0))
        if magic != _MAGIC:
            raise QueueFileCorrupt(self.name, "not a maildrop file")
        if version != _VERSION:
            raise QueueFileCorrupt(self.name, f"of another version ({version})")
        if length > ENVELOPE_LIMIT:
            raise QueueFileCorrupt(self.name, f"an envelope of {length} octets")
        content = file_size - _HEAD.size - length - _END.size
        if content < 0:
            raise QueueFileCorrupt(self.name, "truncated")
        end = self._exactly(_END.size, file_size - _END.size)
        body, own = end[:-_CHECKSUM_SIZE], end[-_CHECKSUM_SIZE:]
        mark, *lengths, envelope_sum, content_sum, _ = _END.unpack(end)
        if mark != _END_MARK or zlib.crc32(body) != int.from_bytes(own, "big"):
            raise QueueFileCorrupt(self.name, "truncated, or a damaged end record")
        if lengths != [length, content]:
            raise QueueFileCorrupt(self.name, "head, end record and size differ")
        self.submission = self._submission(self._exactly(length, _HEAD.size), envelope_sum)
        self.size = content
        self._start = _HEAD.size + length
        self._checksum = content_sum

    def _submission(self, data: bytes, checksum: int) -> Submission:
        if zlib.crc32(data) != checksum:
            raise QueueFileCorrupt(self.name, "damaged envelope")
        try:
            return _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise QueueFileCorrupt(self.name, f"malformed envelope: {error}") from error

    def content(self) -> Iterator[bytes]:
        """The content in pieces of at most `PIECE` octets, once; no content, no piece.

        QueueFileCorrupt comes instead of the last piece, if the content is not what the end record
        says of it; OSError if it cannot be read.
        """
        checksum = 0
        at = 0
        while at < self.size:
            piece = self._exactly(min(PIECE, self.size - at), self._start + at)
            at += len(piece)
            checksum = zlib.crc32(piece, checksum)
            if at == self.size and checksum != self._checksum:
                raise QueueFileCorrupt(self.name, "damaged content")
            yield piece

    def _exactly(self, length: int, offset: int) -> bytes:
        pieces = []
        while length:
            piece = os.pread(self._descriptor, length, offset)
            if not piece:
                raise QueueFileCorrupt(self.name, "truncated")
            pieces.append(piece)
            length -= len(piece)
            offset += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def open_dropped(folder: int, name: str, size_limit: int) -> DroppedMessage:
    """Open a file of the maildrop by its name in the open folder; no link is followed.

    `size_limit` is in octets of content. QueueFileMissing if there is none of that name, which is
    normal; QueueFileCorrupt if it is no file that we would have written; OSError if that cannot be
    known now.
    """
    if not is_dropped_name(name):
        raise QueueFileCorrupt(name, "not the name of a maildrop file")
    before = _look(folder, name)
    # Not opened before it is known to be a file: opening a device may do something.
    _judge(name, before, size_limit)
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=folder)
    except FileNotFoundError:
        raise QueueFileMissing(name) from None
    try:
        found = os.fstat(descriptor)
        _judge(name, found, size_limit)
        return DroppedMessage(name, descriptor, found)
    except BaseException:
        os.close(descriptor)
        raise


def _look(folder: int, name: str) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        raise QueueFileMissing(name) from None


def _judge(name: str, found: os.stat_result, size_limit: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise QueueFileCorrupt(name, "not a regular file")
    if found.st_nlink > 1:
        raise QueueFileCorrupt(name, f"has {found.st_nlink} links")
    if found.st_size > size_limit + ENVELOPE_LIMIT + _HEAD.size + _END.size:
        raise QueueFileCorrupt(name, f"{found.st_size} octets")
