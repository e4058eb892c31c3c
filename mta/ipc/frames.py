"""One frame of the daemons' protocol: a SEQPACKET packet, the msgpack [version, number, body].

What arrives is gossip: `take` decodes it against the types and bounds of `mta.ipc.messages`, with
exactly the descriptors that its message is to bring. No event loop and no socket: how frames come
and go is another matter.
"""

import array
import socket
import types
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from mta.ipc.messages import FRAME_LIMIT, PROTOCOL_VERSION, Message

__all__ = [
    "MALFORMED",
    "Descriptors",
    "FrameReader",
    "MessageTypes",
    "encode",
    "received_descriptors",
]

Body = TypeVar("Body", bound=Message)
Descriptors = tuple[int, ...]
MessageTypes = type[Message] | types.UnionType  # what may arrive on a connection
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]

# What `FrameReader.take` raises: the peer broke the protocol.
MALFORMED: Final = (ValueError, RecursionError, msgspec.MsgspecError)

_DESCRIPTOR_SIZE: Final = array.array("i").itemsize
# A plain number: to combine enumerators costs more than to receive a frame.
_CUT: Final = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)


class _Frame(Struct, Generic[Body], frozen=True, array_like=True, forbid_unknown_fields=True):
    version: Literal[1]
    number: Number
    body: Body


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODERS: Final[dict[MessageTypes, msgspec.msgpack.Decoder[Any]]] = {}


def encode(number: int, body: Message) -> bytes:
    """Serialize one frame; ValueError if it is larger than `FRAME_LIMIT`, a programming error."""
    frame = _ENCODER.encode((PROTOCOL_VERSION, number, body))
    if len(frame) > FRAME_LIMIT:
        raise ValueError(f"{type(body).__name__}: a frame of {len(frame)} octets")
    return frame


def received_descriptors(ancillary: list[tuple[int, int, bytes]]) -> Descriptors:
    """The descriptors that came with a packet, to be closed by whoever calls."""
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_SIZE])
    return tuple(found)


class FrameReader(Generic[Body]):
    """Reads frames of certain messages; `ancillary_size` is what recvmsg(2) needs for them."""

    def __init__(self, body_type: MessageTypes) -> None:
        self._decode = _decoder(body_type).decode
        most = max(kind.descriptors for kind in get_args(body_type) or (body_type,))
        self.ancillary_size = socket.CMSG_LEN(most * _DESCRIPTOR_SIZE) if most else 0

    def take(
        self, data: bytes | memoryview, descriptors: Descriptors, flags: int
    ) -> tuple[int, Body]:
        """The number and the body of a packet with what came along; one of `MALFORMED` if none."""
        if flags & _CUT:
            raise ValueError("truncated: a frame too long, or descriptors not expected")
        frame = self._decode(data)
        if len(descriptors) != frame.body.descriptors:
            raise ValueError(f"{type(frame.body).__name__} with {len(descriptors)} descriptors")
        return frame.number, frame.body


def _decoder(body_type: MessageTypes) -> msgspec.msgpack.Decoder[Any]:
    decoder = _DECODERS.get(body_type)
    if decoder is None:
        decoder = _DECODERS[body_type] = msgspec.msgpack.Decoder(
            _Frame[body_type]  # type: ignore[valid-type]
        )
    return decoder
