"""Values against the types of `Parameters` and `Service`: those types are the only table.

Bounds, patterns and units are read from the msgspec annotations; what a message says was expected
is made from them too, or is the annotation's `title` where a pattern would not speak to people.
"""

import functools
import re
import typing
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect

from mta.config.parameters import Parameters
from mta.config.problems import Problems, quoted
from mta.config.snapshot import Service
from mta.config.source import Node
from mta.config.types import DurationUnit
from mta.util.duration import parse_duration

__all__ = [
    "CONTROL",
    "check_field",
    "check_fields",
    "expectation",
    "fields_of",
    "is_duration",
    "mapping",
]

_WORDS: Final[dict[type[inspect.Type], str]] = {
    inspect.BoolType: "true or false",
    inspect.DictType: "a mapping",
    inspect.FloatType: "a number",
    inspect.IntType: "an integer",
    inspect.StrType: "text",
}


_KINDS: Final[dict[type[Struct], str]] = {
    Parameters: "the name of a parameter",
    Service: "a key of a row",
}
# Parameters of Postfix for which there is something else here.
_ONE_OWNER: Final = "all mailboxes belong to the row's user: services.virtual.user"
_OTHERWISE: Final = {
    "virtual_uid_maps": _ONE_OWNER,
    "virtual_gid_maps": _ONE_OWNER,
    "virtual_minimum_uid": _ONE_OWNER,
}
# No setting needs them; a terminal, supervisord.conf and the kernel's paths make much of them.
CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@functools.cache
def fields_of(struct: type[Struct]) -> dict[str, Any]:
    """The annotated type of each field of a struct."""
    hints = typing.get_type_hints(struct, include_extras=True)
    return {name: hints[name] for name in struct.__struct_fields__}


def mapping(node: Node, path: str, problems: Problems) -> dict[str, Node]:
    """The node's entries; none, and the problem noted, when it is no mapping."""
    if isinstance(node.value, dict):
        return node.value
    if node.value is not None:
        problems.add(node.place, path, "a mapping", str(node))
    return {}


def check_fields(
    entries: dict[str, Node], struct: type[Struct], path: str, problems: Problems
) -> dict[str, Any]:
    """Check the entries that are fields of `struct`; the values of those that are sound."""
    fields = fields_of(struct)
    values = {}
    for name, node in entries.items():
        if name not in fields:
            way_out = _OTHERWISE.get(name) or problems.suggest(name, fields)
            problems.add(node.key, f"{path}.{name}", _KINDS[struct], quoted(name), way_out)
            continue
        value = check_field(node, fields[name], f"{path}.{name}", problems)
        if value is not msgspec.UNSET:
            values[name] = value
    return values


def is_duration(info: inspect.Type | None) -> bool:
    """Whether a type is one of durations: seconds, or text with a unit."""
    return isinstance(info, inspect.Metadata) and info.extra == DurationUnit


def check_field(node: Node, hint: object, path: str, problems: Problems) -> object:
    """The node's value in its type, or UNSET when it is not sound."""
    metadata, kind = _split(inspect.type_info(hint))
    if isinstance(kind, inspect.VarTupleType) and isinstance(node.value, list):
        item_hint = _item_of(hint)
        items = [
            check_field(item, item_hint, f"{path}[{index}]", problems)
            for index, item in enumerate(node.value)
        ]
        return msgspec.UNSET if msgspec.UNSET in items else tuple(items)
    value = node.value
    if is_duration(metadata) and isinstance(value, str):
        value = _seconds(value)
    try:
        converted: object = msgspec.convert(value, hint)
    except (msgspec.ValidationError, TypeError):
        problems.add(node.place, path, expectation(hint), str(node))
        return msgspec.UNSET
    if isinstance(converted, str) and CONTROL.search(converted):
        problems.add(node.place, path, "text without control characters", str(node))
        return msgspec.UNSET
    return converted


def expectation(hint: object) -> str:
    """What a type admits, in words."""
    metadata, kind = _split(inspect.type_info(hint))
    if metadata and "title" in (metadata.extra_json_schema or {}):
        return str((metadata.extra_json_schema or {})["title"])
    match kind:
        case inspect.VarTupleType():
            return f"a list (each item {expectation(_item_of(hint))})"
        case inspect.LiteralType():
            return ", ".join(map(str, kind.values[:-1])) + f" or {kind.values[-1]}"
        case inspect.FloatType() if is_duration(metadata):
            return "a duration" + _bounds(kind.ge, kind.le, "s") + " (100, 100s, 5m, 4h, 5d, 1w)"
        case inspect.IntType() | inspect.FloatType():
            return _WORDS[type(kind)] + _bounds(kind.ge, kind.le, "")
        case _:
            return _WORDS[type(kind)]


def _split(info: inspect.Type) -> tuple[inspect.Metadata | None, inspect.Type]:
    return (info, info.type) if isinstance(info, inspect.Metadata) else (None, info)


def _item_of(hint: object) -> object:
    """The item type of `tuple[item, ...]`, annotated or not."""
    bare = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
    return typing.get_args(bare)[0]


def _seconds(text: str) -> float | str:
    found = parse_duration(text)
    return text if found is None else found


def _bounds(least: float | None, most: float | None, unit: str) -> str:
    bounds = [
        f"{words} {int(limit) if limit == int(limit) else limit}{unit}"
        for words, limit in (("of at least", least), ("at most", most))
        if limit is not None
    ]
    return " " + " and ".join(bounds) if bounds else ""
