"""Hypothesis strategies for every message of mta.ipc.messages, made from their types and bounds."""

import functools
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from mta.ipc.messages import Message

__all__ = ["MESSAGE_TYPES", "is_valid", "messages"]

MESSAGE_TYPES: list[type[Message]] = list(Message.__subclasses__())

_CHARACTERS = st.characters(codec="utf-8")
_PLENTY = 4  # items of a sequence: enough to err


@functools.cache
def messages(kind: object) -> st.SearchStrategy[Any]:
    """Valid values of a message type, or of a union of them."""
    return _values(inspect.type_info(kind))


def _values(info: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911 - a table
    match info:
        case inspect.StructType():
            fields = {field.name: _values(field.type) for field in info.fields}
            return st.builds(info.cls, **fields)
        case inspect.UnionType():
            return st.one_of(*(_values(one) for one in info.types))
        case inspect.EnumType():
            return st.sampled_from(list(info.cls))
        case inspect.VarTupleType():
            most = min(info.max_length or _PLENTY, _PLENTY)
            items = st.lists(_values(info.item_type), min_size=info.min_length or 0, max_size=most)
            return items.map(tuple)
        case inspect.StrType():
            return _texts(info)
        case inspect.IntType():
            return st.integers(
                info.ge if info.ge is not None else -(2**63),
                info.le if info.le is not None else 2**63 - 1,
            )
        case inspect.FloatType():
            return st.floats(
                info.ge if info.ge is not None else info.gt,
                info.le,
                exclude_min=info.gt is not None,
                allow_nan=False,
            )
        case inspect.LiteralType():
            return st.sampled_from(list(info.values))
        case inspect.TupleType():
            return st.tuples(*map(_values, info.item_types))
        case inspect.BytesType():
            return st.binary(max_size=info.max_length)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
    raise TypeError(f"no strategy for {info!r}")


def _texts(info: inspect.StrType) -> st.SearchStrategy[str]:
    if info.pattern is None:
        return st.text(_CHARACTERS, max_size=info.max_length)
    most = info.max_length if info.max_length is not None else 10_000
    texts = st.from_regex(info.pattern, alphabet=_CHARACTERS)
    return texts.filter(lambda text: len(text) <= most)


def is_valid(frame: bytes, kind: object) -> bool:
    """Whether a frame is a message of the protocol, judged by msgspec alone."""
    try:
        version, number, body = msgspec.msgpack.decode(frame, type=tuple[int, int, msgspec.Raw])
        msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return version == 1 and 0 <= number < 2**63
