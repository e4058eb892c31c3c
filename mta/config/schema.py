"""JSON Schemas of `main.yml` and `services.yml`, made from the types: editors complete by them.

A schema admits exactly what each single value may be. What only several values together can tell,
such as a transport that no row provides, is left to `mta check`; so are the bounds of a duration
with a unit, which no pattern can hold, and whether an address is one.

The dialect is 2020-12; all words mean the same in draft-07, which is what most editors know.
`patternErrorMessage` is yaml-language-server's: what was expected, in words.
"""

import json
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect

from mta.config.parameters import Parameters
from mta.config.problems import Place, Problems
from mta.config.snapshot import Name, Service
from mta.config.source import Node
from mta.config.table import SERVICES, daemons, profiles, read_table
from mta.config.uses import SHARED
from mta.config.validate import fields_of, is_duration
from mta.util.duration import DURATION_PATTERN, format_duration
from mta.util.house import RELOAD_PROGRAM

__all__ = ["main_schema", "services_schema"]

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ROW: Final = {"$ref": "#/$defs/row"}  # alone: draft-07 overlooks what stands beside a $ref
_MAPPING: Final = ["object", "null"]  # in YAML, a key without a value
_KINDS: Final[dict[type[inspect.Type], str]] = {
    inspect.BoolType: "boolean",
    inspect.DictType: "object",
    inspect.FloatType: "number",
    inspect.IntType: "integer",
    inspect.StrType: "string",
}
# As mta.config.validate has it, but for surrogates, which no JSON holds alone.
_CONTROL: Final = r"[\u0000-\u001f\u007f-\u009f]"
_WORDS: Final = {"ge": "minimum", "le": "maximum", "max_length": "maxLength"}


def main_schema() -> Schema:
    """The schema of `main.yml`."""
    return {
        "$schema": _DIALECT,
        "title": "Parameters of Posthouse",
        "type": "object",
        "properties": _properties(Parameters),
        "required": [f.name for f in msgspec.structs.fields(Parameters) if f.required],
        "additionalProperties": False,
    }


def services_schema() -> Schema:
    """The schema of `services.yml`."""
    name_pattern = f"^(?!{RELOAD_PROGRAM}$)" + _pattern_of(Name).removeprefix("^")
    return {
        "$schema": _DIALECT,
        "title": "The service table of Posthouse",
        "type": "object",
        "properties": {
            "profile": {
                "description": "The table that this one is merged over.",
                "enum": profiles(),
            },
            "services": {
                "description": "Rows, merged over the profile's by name.",
                "type": _MAPPING,
                "patternProperties": {name_pattern: _ROW},
                "additionalProperties": False,
            },
        },
        "required": ["profile"],
        "additionalProperties": False,
        "allOf": [_rows_of(profile) for profile in profiles()],
        "$defs": {"row": _row()},
    }


def _rows_of(profile: str) -> Schema:
    """Names for editors to offer; a row that the profile does not have needs its daemon."""
    place = Place(SERVICES)
    root = Node({"profile": Node(profile, place, place)}, place, place)
    names = sorted(read_table(root, Problems()).names)
    others = {"type": "object", "required": ["daemon"]}
    rows = {
        "properties": dict.fromkeys(names, _ROW),
        "patternProperties": {f"^(?!(?:{'|'.join(names)})$)": others},
    }
    return {
        "if": {"properties": {"profile": {"const": profile}}, "required": ["profile"]},
        "then": {"properties": {"services": rows}},
    }


def _row() -> Schema:
    fields = _properties(Service)
    del fields["name"]  # the row's key
    parameters = _properties(Parameters)
    fields["settings"] |= {
        "type": _MAPPING,
        "properties": {name: parameters[name] for name in parameters if name not in SHARED},
        "additionalProperties": False,
    }
    enabled = {
        "description": "false: the row has no process, no socket and no open port.",
        "type": "boolean",
        "default": True,
    }
    return {
        "type": _MAPPING,
        "properties": {"enabled": enabled, **fields},
        "additionalProperties": False,
        # A command replaces the daemon's module, so that the name is free.
        "if": {"properties": {"command": {"minItems": 1}}, "required": ["command"]},
        "else": {"properties": {"daemon": {"enum": sorted(daemons())}}},
    }


def _properties(struct: type[Struct]) -> dict[str, Schema]:
    hints = fields_of(struct)
    return {
        field.name: {**_value(inspect.type_info(hints[field.name])), **_default(field, hints)}
        for field in msgspec.structs.fields(struct)
    }


def _default(field: msgspec.structs.FieldInfo, hints: dict[str, Any]) -> Schema:
    """The default as one would write it; none where it differs from host to host."""
    if field.default is msgspec.NODEFAULT:
        return {}
    if is_duration(inspect.type_info(hints[field.name])):
        return {"default": format_duration(field.default)}
    return {"default": json.loads(msgspec.json.encode(field.default))}


def _value(info: inspect.Type) -> Schema:
    found: Schema = {}
    kind = info
    if isinstance(info, inspect.Metadata):
        kind = info.type
        found |= info.extra_json_schema or {}
    match kind:
        case inspect.VarTupleType():
            return found | {"type": "array", "items": _value(kind.item_type)}
        case inspect.LiteralType():
            return found | {"enum": list(kind.values)}
    found["type"] = _KINDS[type(kind)]
    if isinstance(kind, inspect.StrType):
        found["not"] = {"pattern": _CONTROL}
    for bound, word in _WORDS.items():
        if getattr(kind, bound, None) is not None:
            found[word] = getattr(kind, bound)
    if isinstance(kind, inspect.StrType) and kind.pattern is not None:
        found["pattern"] = _ecma(kind.pattern)
        found["patternErrorMessage"] = f"expected {found['title']}"
    if is_duration(info):
        # One type with both words: each word counts for its own kind of value alone.
        found |= {"type": ["number", "string"], "pattern": _ecma(DURATION_PATTERN)}
    return found


def _pattern_of(hint: object) -> str:
    return str(_value(inspect.type_info(hint))["pattern"])


def _ecma(pattern: str) -> str:
    r"""The pattern in ECMA 262's dialect, which has no \A and no \Z."""
    return pattern.replace(r"\A", "^").replace(r"\Z", "$")
