"""The queue file: octets on the disk and what they mean. No IO.

    head       magic "PHQ", version, queue id, length of envelope and content, CRC-32 of the head
    envelope   msgpack: sender, recipients (one record each), origin, time of arrival, 8-bit flag
    content    our own header fields, then the message byte for byte, contiguous
    end        mark, both lengths again, CRC-32 of envelope and of content, CRC-32 of this record
    journal    appended later: mta.queue.journal

Numbers are big-endian. Everything up to the end record never changes once the file is complete.
The head names the id, so a file under a wrong name is found out. A version that is not ours is
corrupt to us: it waits in `corrupt/` for the release that can read it.
"""

import struct
import zlib
from typing import Final

import msgspec

from mta.proto.envelope import Envelope
from mta.queue.errors import QueueFileCorrupt

__all__ = [
    "ENVELOPE_LIMIT",
    "VERSION",
    "Body",
    "decode_end",
    "decode_envelope",
    "decode_head",
    "encode_end",
    "encode_envelope",
    "encode_head",
]

VERSION: Final = 1
ENVELOPE_LIMIT: Final = 64 * 1024 * 1024  # octets

_MAGIC: Final = b"PHQ"
_END_MARK: Final = b"\xf1PHE"
_HEAD: Final = struct.Struct(">3sB22sIQI")
_END: Final = struct.Struct(">4sIQIII")
_CHECKSUM_SIZE: Final = 4

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


class Body(msgspec.Struct, frozen=True):
    """The extents of a queue file, in octets from its start; all follow from two lengths."""

    envelope_length: int
    content_length: int

    HEAD_SIZE = _HEAD.size
    END_SIZE = _END.size

    @property
    def content_offset(self) -> int:
        """Where the content begins."""
        return _HEAD.size + self.envelope_length

    @property
    def end_offset(self) -> int:
        """Where the end record begins."""
        return self.content_offset + self.content_length

    @property
    def journal_offset(self) -> int:
        """Where the journal begins: the size of a file without one."""
        return self.end_offset + _END.size


def encode_head(queue_id: str, body: Body) -> bytes:
    """The head of a file with these extents."""
    head = _HEAD.pack(
        _MAGIC, VERSION, queue_id.encode("ascii"), body.envelope_length, body.content_length, 0
    )
    return _with_checksum(head)


def decode_head(queue_id: str, data: bytes) -> Body:
    """The extents that a file's first octets promise; QueueFileCorrupt if it is not our head."""
    if len(data) < _HEAD.size:
        raise QueueFileCorrupt(queue_id, "shorter than its head")
    head = data[: _HEAD.size]
    magic, version, name, envelope_length, content_length, _ = _HEAD.unpack(head)
    if magic != _MAGIC:
        raise QueueFileCorrupt(queue_id, "not a queue file")
    if version > VERSION:
        raise QueueFileCorrupt(queue_id, f"of a newer version ({version})")
    if version != VERSION or not _checksum_holds(head):
        raise QueueFileCorrupt(queue_id, "damaged head")
    if name != queue_id.encode("ascii"):
        raise QueueFileCorrupt(queue_id, f"is the queue file {name!r}")
    if envelope_length > ENVELOPE_LIMIT:
        raise QueueFileCorrupt(queue_id, f"an envelope of {envelope_length} octets")
    return Body(envelope_length, content_length)


def encode_envelope(envelope: Envelope) -> bytes:
    """The envelope as octets."""
    return _encoder.encode(envelope)


def decode_envelope(queue_id: str, data: bytes) -> Envelope:
    """The envelope from its octets; QueueFileCorrupt if a bound of the types is broken."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise QueueFileCorrupt(queue_id, f"malformed envelope: {error}") from error


def encode_end(body: Body, envelope_checksum: int, content_checksum: int) -> bytes:
    """The end record of a file with these extents and CRC-32 sums."""
    return _with_checksum(
        _END.pack(
            _END_MARK,
            body.envelope_length,
            body.content_length,
            envelope_checksum,
            content_checksum,
            0,
        )
    )


def decode_end(queue_id: str, body: Body, data: bytes) -> tuple[int, int]:
    """The checksums of envelope and content; QueueFileCorrupt if the record is not as it should."""
    if len(data) < _END.size:
        raise QueueFileCorrupt(queue_id, "truncated")
    end = data[: _END.size]
    mark, envelope_length, content_length, envelope_checksum, content_checksum, _ = _END.unpack(end)
    if mark != _END_MARK or not _checksum_holds(end):
        raise QueueFileCorrupt(queue_id, "damaged end record")
    if (envelope_length, content_length) != (body.envelope_length, body.content_length):
        raise QueueFileCorrupt(queue_id, "head and end record differ")
    return envelope_checksum, content_checksum


def _with_checksum(record: bytes) -> bytes:
    body = record[:-_CHECKSUM_SIZE]
    return body + zlib.crc32(body).to_bytes(_CHECKSUM_SIZE, "big")


def _checksum_holds(record: bytes) -> bool:
    body, checksum = record[:-_CHECKSUM_SIZE], record[-_CHECKSUM_SIZE:]
    return zlib.crc32(body) == int.from_bytes(checksum, "big")
