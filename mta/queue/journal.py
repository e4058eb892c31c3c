"""The journal: what happened to a message, appended to its queue file by the queue manager alone.

    record   mark (4 octets), length (2), CRC-32 (4), then `length` octets of msgpack

Records are never changed. The last valid one wins, except that DELIVERED is final: a recipient who
has the message never gets it again because a record is repeated or out of order. What is torn or
damaged is skipped up to the next mark, so a damage can only repeat a delivery, never lose one.
Bounce reports are made from this journal.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from mta.proto.status import Disposition, ReportKind, Status

__all__ = [
    "Attempted",
    "JournalRecord",
    "JournalScanner",
    "Notified",
    "Retry",
    "encode_records",
]

_MARK: Final = b"\xf1PHJ"
_HEAD: Final = struct.Struct(">4sHI")
_DAMAGE_LIMIT: Final = 1000  # each costs a checksum of 64 KiB at most

Moment = Annotated[float, Meta(ge=0, le=2**40)]  # seconds since the epoch


class _Record(Struct, frozen=True, array_like=True, tag=True):
    """What all records share: a frozen array whose first item names the type."""


class Attempted(_Record, frozen=True):
    """One recipient was attempted; `index` is its place in the envelope."""

    when: Moment
    index: Annotated[int, Meta(ge=0)]
    disposition: Disposition
    status: Status
    relay: Annotated[str, Meta(max_length=320)]


class Retry(_Record, frozen=True):
    """The attempt is over and the message waits; `attempts` counts all attempts so far."""

    when: Moment
    attempts: Annotated[int, Meta(ge=0)]
    next_attempt: Moment
    reason: Annotated[str, Meta(max_length=1024)]  # of the last deferral, for the operator


class Notified(_Record, frozen=True):
    """The sender was told: FAILURE covers all recipients that earlier records say bounced."""

    when: Moment
    kind: ReportKind


JournalRecord = Attempted | Retry | Notified

_encoder = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[JournalRecord]] = msgspec.msgpack.Decoder(JournalRecord)


def encode_records(records: Iterable[JournalRecord]) -> bytes:
    """The records as octets, to be appended in one write.

    ValueError if one breaks a bound of its type: no reader would accept it.
    """
    # The bounds of the structs keep every body far below the 64 KiB that its length can say.
    out = bytearray()
    for record in records:
        body = _encoder.encode(record)
        try:
            _decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a journal record: {error}") from error
        out += _HEAD.pack(_MARK, len(body), zlib.crc32(body))
        out += body
    return bytes(out)


class JournalScanner:
    """Finds the valid records in a journal that is fed in pieces; keeps one record at most."""

    def __init__(self) -> None:
        self._rest = b""
        self._damages = 0

    def feed(self, data: bytes, *, last: bool) -> Iterator[JournalRecord]:
        """Yield the valid records that end in this piece; `last` says that no other follows.

        ValueError when there are so many damages that this is no journal.
        """
        data = self._rest + data
        position = 0
        while (found := data.find(_MARK, position)) >= 0:
            end, checksum = _extent(data, found)
            if end > len(data) and not last:
                break
            record = _decode(data[found + _HEAD.size : end], checksum) if end <= len(data) else None
            if record is None:
                # A torn record may be followed by whole ones: go on at the next mark.
                position = found + 1
                self._damages += 1
                if self._damages > _DAMAGE_LIMIT:
                    raise ValueError(f"more than {_DAMAGE_LIMIT} damaged records")
                continue
            position = end
            yield record
        if found < 0:  # a mark may be cut in two
            found = max(position, len(data) - len(_MARK) + 1)
        self._rest = data[found:]


def _extent(data: bytes, start: int) -> tuple[int, int]:
    """Where the record at `start` ends as it says itself, and its checksum."""
    if start + _HEAD.size > len(data):
        return start + _HEAD.size, 0
    _, length, checksum = _HEAD.unpack_from(data, start)
    return start + _HEAD.size + length, checksum


def _decode(body: bytes, checksum: int) -> JournalRecord | None:
    if zlib.crc32(body) != checksum:
        return None
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError:
        return None
