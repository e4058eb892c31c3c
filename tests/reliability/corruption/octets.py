"""What can happen to the octets of a queue file, and what each damage may cost.

The law: damage before the journal is found out, and the file set aside; damage within the journal
costs the record that it strikes, and no other. So a recipient who has the message gets a second
copy only where his own record was struck, and nobody loses one.
"""

import os
import random
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Final

from support.instance import DOMAIN, separated

from mta.proto.envelope import Envelope, Origin, Recipient
from mta.proto.status import Disposition, Status
from mta.queue.format import (
    VERSION,
    Body,
    encode_end,
    encode_envelope,
    encode_head,
)
from mta.queue.journal import Attempted, JournalRecord, Retry, encode_records
from mta.queue.layout import State
from mta.queue.queue_id import new_queue_id
from reliability.corruption.case import Case, Fate

__all__ = [
    "KINDS",
    "MODELS",
    "Message",
    "Model",
    "Octets",
    "content_of",
    "healthy",
    "write_complete",
]

Owed = Mapping[str, tuple[int, int]]

_ONCE: Final = (1, 1)
_NEVER: Final = (0, 0)
_MARK: Final = b"\xf1PHJ"


@dataclass(frozen=True)
class Model:
    """A kind of message that is damaged at every octet."""

    name: str
    recipients: int
    size: int  # octets of the content, about
    journal: bool = False  # the first recipient has it, the second's mailbox was busy


MODELS: Final = (
    Model("one recipient", 1, 60),
    Model("five recipients, journal", 5, 60, journal=True),
    Model("20 KB", 1, 20_000),
)
_ONE, _MANY, _LARGE = MODELS


def content_of(queue_id: str, size: int) -> bytes:
    """Content that can be told from all other by its first line, and that is all its own."""
    head = f"Subject: {queue_id} {size}\r\n\r\n".encode()
    pattern = (queue_id * 3).encode() + b"\r\n"
    return head + pattern * (max(0, size - len(head)) // len(pattern) + 1)


def write_complete(path: Path, octets: bytes, mode: int = 0o700) -> None:
    """Write a file as the queue's owner, whom the folder belongs to, completes it."""
    path.touch(0o600)
    path.write_bytes(octets)
    if separated():
        found = path.parent.stat()
        os.chown(path, found.st_uid, found.st_gid)
    path.chmod(mode)


@dataclass(frozen=True)
class Message:
    """One whole queue file before anything happens to it."""

    model: Model
    queue_id: str
    body: bytes  # all that is sealed
    records: tuple[JournalRecord, ...]

    @classmethod
    def new(cls, model: Model, source: random.Random) -> "Message":
        """A message that has just come in."""
        now = time.time()
        queue_id = new_queue_id(now, source.randbytes(8))
        envelope = encode_envelope(_envelope(model, now))
        content = content_of(queue_id, model.size)
        body = Body(len(envelope), len(content))
        end = encode_end(body, zlib.crc32(envelope), zlib.crc32(content))
        sealed = encode_head(queue_id, body) + envelope + content + end
        return cls(model, queue_id, sealed, _records(now) if model.journal else ())

    @property
    def journal(self) -> bytes:
        """The journal as the queue manager wrote it."""
        return encode_records(self.records)

    @property
    def octets(self) -> bytes:
        """The whole file."""
        return self.body + self.journal

    @property
    def first_record(self) -> range:
        """Where the record lies that says that the first recipient has the message."""
        return range(len(self.body), len(self.body) + len(encode_records(self.records[:1])))

    def owed(self, first: tuple[int, int]) -> Owed:
        """Who gets it: `first` is what the first recipient of several may get."""
        users = _users(self.model)
        return dict.fromkeys(users, _ONCE) | ({users[0]: first} if self.model.journal else {})


def _users(model: Model) -> list[str]:
    return [f"user{number}" for number in range(model.recipients)]


def _envelope(model: Model, now: float) -> Envelope:
    addresses = [f"{user}@{DOMAIN}" for user in _users(model)]
    recipients = tuple(Recipient(address, address) for address in addresses)
    origin = Origin("ESMTP", "192.0.2.1", 40000, "client.example", "smtp")
    return Envelope("sender@example.org", recipients, origin, now, body_8bit=False)


def _records(now: float) -> tuple[JournalRecord, ...]:
    busy = Status(450, "4.2.0", "Busy")
    return (
        Attempted(now, 0, Disposition.DELIVERED, Status(250, "2.0.0", "Ok"), "virtual"),
        Attempted(now, 1, Disposition.DEFERRED, busy, "virtual"),
        Retry(now, 1, now, str(busy)),
    )


# Every octet, every length


def _flip(model: Model, position: int, source: random.Random) -> Case:
    message = Message.new(model, source)
    damaged = bytearray(message.octets)
    damaged[position] ^= source.choice((0x01, 0x80, 0xFF, source.randrange(1, 256)))
    place, fate = _outcome(message, position)
    first = _ONCE if position in message.first_record else _NEVER
    return _case(f"{model.name}: {place} octet", fate, message, bytes(damaged), first)


def _cut(model: Model, length: int, source: random.Random) -> Case:
    message = Message.new(model, source)
    place, fate = _outcome(message, length)
    first = _ONCE if length < message.first_record.stop else _NEVER
    return _case(f"{model.name}: cut, {place}", fate, message, message.octets[:length], first)


def _half_written(model: Model, length: int, source: random.Random) -> Case:
    message = Message.new(model, source)
    make = partial(write_complete, octets=message.octets[:length], mode=0o600)
    return Case(_HALF, Fate.IGNORED, "incoming", message.queue_id, make, {})


def _outcome(message: Message, position: int) -> tuple[str, Fate]:
    """Where the damage lies, and what it means for the file."""
    if position < len(message.body):
        return "body", Fate.CORRUPT
    return "journal", Fate.DELIVERED


# Damages of a kind of their own


def _case(
    kind: str, fate: Fate, message: Message, octets: bytes, first: tuple[int, int] = _NEVER
) -> Case:
    owed = message.owed(first) if fate is Fate.DELIVERED else {}
    state: State = "deferred" if message.model.journal else "incoming"
    # The queue's owner vouches for what he notifies, so that large content is not looked at.
    notifiable = separated() or message.model is not _LARGE
    make = partial(write_complete, octets=octets)
    return Case(kind, fate, state, message.queue_id, make, owed, notifiable)


MakeCase = Callable[[random.Random], Case]
Edit = Callable[[Message, random.Random], bytes]


def _rejoined(message: Message, journal: bytes) -> bytes:
    return message.body + journal


def _junk(_: Message, source: random.Random) -> bytes:
    return source.randbytes(source.randrange(1, 4000))


def _junk_with_magic(_: Message, source: random.Random) -> bytes:
    return b"PHQ" + bytes([VERSION]) + source.randbytes(source.randrange(1, 4000))


def _version(message: Message, number: int) -> bytes:
    head = bytearray(message.octets[: Body.HEAD_SIZE])
    head[3] = number
    struct.pack_into(">I", head, Body.HEAD_SIZE - 4, zlib.crc32(head[:-4]))
    return bytes(head) + message.octets[Body.HEAD_SIZE :]


def _exchanged(message: Message, source: random.Random) -> bytes:
    damaged = bytearray(message.octets)
    while bytes(damaged) == message.octets:
        one, other = (source.randrange(len(message.body)) for _ in range(2))
        damaged[one], damaged[other] = damaged[other], damaged[one]
    return bytes(damaged)


def _put_in(message: Message, source: random.Random) -> bytes:
    at = source.randrange(len(message.body))
    return message.octets[:at] + source.randbytes(source.randrange(1, 64)) + message.octets[at:]


def _torn_then_whole(message: Message, source: random.Random) -> bytes:
    torn = encode_records(message.records[:1])
    return _rejoined(message, torn[: source.randrange(1, len(torn))] + message.journal)


def _junk_between(message: Message, source: random.Random) -> bytes:
    pieces = [encode_records([record]) for record in message.records]
    return _rejoined(message, b"".join(source.randbytes(20) + piece for piece in pieces))


def _denied(message: Message, _: random.Random) -> bytes:
    busy = Status(450, "4.2.0", "Busy")
    later = Attempted(time.time(), 0, Disposition.DEFERRED, busy, "virtual")
    return message.octets + encode_records([later])


def _out_of_range(message: Message, _: random.Random) -> bytes:
    done = Status(250, "2.0.0", "Ok")
    nobody = Attempted(time.time(), 4711, Disposition.DELIVERED, done, "virtual")
    return message.octets + encode_records([nobody])


_EDITS: Final[tuple[tuple[str, Fate, Model, Edit], ...]] = (
    ("newer version", Fate.CORRUPT, _ONE, lambda message, _: _version(message, VERSION + 1)),
    ("version 0", Fate.CORRUPT, _MANY, lambda message, _: _version(message, 0)),
    ("junk", Fate.CORRUPT, _ONE, _junk),
    ("junk behind our magic", Fate.CORRUPT, _ONE, _junk_with_magic),
    ("NULs", Fate.CORRUPT, _LARGE, lambda message, _: bytes(len(message.octets))),
    ("octets exchanged", Fate.CORRUPT, _LARGE, _exchanged),
    ("octets put in", Fate.CORRUPT, _MANY, _put_in),
    (
        "the file of another id",
        Fate.CORRUPT,
        _ONE,
        lambda message, source: Message.new(message.model, source).octets,
    ),
    (
        "more than 1000 torn records",
        Fate.CORRUPT,
        _MANY,
        lambda message, _: message.octets + _MARK * 1001,
    ),
    ("the file twice", Fate.DELIVERED, _ONE, lambda message, _: message.octets * 2),
    (
        "records duplicated",
        Fate.DELIVERED,
        _MANY,
        lambda message, _: _rejoined(message, message.journal * 3),
    ),
    (
        "records in another order",
        Fate.DELIVERED,
        _MANY,
        lambda message, source: _rejoined(
            message, encode_records(source.sample(message.records, len(message.records)))
        ),
    ),
    ("a record torn, then whole", Fate.DELIVERED, _MANY, _torn_then_whole),
    ("junk between records", Fate.DELIVERED, _MANY, _junk_between),
    ("a delivery denied later", Fate.DELIVERED, _MANY, _denied),
    ("a record of nobody", Fate.DELIVERED, _MANY, _out_of_range),
    (
        "1000 torn records",
        Fate.DELIVERED,
        _MANY,
        lambda message, _: message.octets + _MARK * 1000,
    ),
)
_EDITS_REPEATED: Final = 20  # in a whole run
_HALF: Final = "half written"

KINDS: Final = frozenset(
    (_HALF, *(kind for kind, *_ in _EDITS)),
).union(
    f"{model.name}: {damage}"
    for model in MODELS
    for damage in ("body octet", "cut, body", "journal octet", "cut, journal")
    if model.journal or "journal" not in damage
)


class Octets:
    """All damages of octets: each a function that makes the case."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._groups = list(_groups(source))
        for group in self._groups:
            source.shuffle(group)

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    def choose(self, count: int) -> list[MakeCase]:
        """So many of them in a random order, or all: as many of each kind as can be."""
        rounds = chain.from_iterable(zip_longest(*self._groups))
        chosen = list(islice((make for make in rounds if make is not None), count))
        self._source.shuffle(chosen)
        return chosen


def _groups(source: random.Random) -> Iterator[list[MakeCase]]:
    for model in MODELS:
        message = Message.new(model, source)
        sealed, whole = len(message.body), len(message.octets)
        for damage in (_flip, _cut):
            for positions in (range(sealed), range(sealed, whole)):
                yield [partial(damage, model, position) for position in positions]
    whole = len(Message.new(_ONE, source).octets)
    yield [partial(_half_written, _ONE, length) for length in range(whole)]
    for kind, fate, model, edit in _EDITS:
        yield [partial(_edited, kind, fate, model, edit)] * _EDITS_REPEATED


def _edited(kind: str, fate: Fate, model: Model, edit: Edit, source: random.Random) -> Case:
    message = Message.new(model, source)
    return _case(kind, fate, message, edit(message, source))


def healthy(model: Model, kind: str, source: random.Random, last: str = "") -> Case:
    """A message to which nothing happens; its queue id ends in `last`."""
    message = Message.new(model, source)
    while not message.queue_id.endswith(last):
        message = Message.new(model, source)
    return _case(kind, Fate.DELIVERED, message, message.octets)
