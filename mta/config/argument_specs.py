"""The argument specification of the role `configuration`, in YAML, from the types themselves.

Ansible refuses by it what no main.yml can have: a name that is unknown, a wrong type, a choice that
is none. It would fill in a `default`, and main.yml would then set what nobody asked for: defaults
are only told of. A duration is a number or text, for which Ansible has no type: `raw`.
"""

from typing import Any, Final

import msgspec
import yaml
from msgspec import inspect

from mta.config.parameters import Parameters
from mta.config.reference import default_of
from mta.config.table import profiles
from mta.config.validate import expectation, fields_of

__all__ = ["configuration_argument_specs"]

Spec = dict[str, Any]

_HEAD: Final = "---\n# Written by `make reference`.\n"
_WIDTH: Final = 68  # a line is broken at the first blank beyond it, and yamllint allows 120
_TYPES: Final[dict[type[inspect.Type], str]] = {
    inspect.BoolType: "bool",
    inspect.FloatType: "raw",  # all are durations
    inspect.IntType: "int",
    inspect.StrType: "str",
}


def configuration_argument_specs() -> str:
    """The file `roles/configuration/meta/argument_specs.yml`."""
    main = {
        "short_description": "main.yml and services.yml",
        "description": "Checks both files beside the live ones, and puts them in their place if "
        "nothing is wrong with them; the role service puts them in force.",
        "options": {
            "posthouse_bin": _option("path", "The folder of the mta command."),
            "posthouse_etc": _option("path", "The folder of main.yml and services.yml."),
            "posthouse_parameters": {
                **_option("dict", "The parameters of main.yml; one that is null is left out."),
                "options": _parameters(),
            },
            "posthouse_profile": {
                **_option("str", "The profile that the service table starts from."),
                "choices": profiles(),
            },
            "posthouse_services": _option(
                "dict", "Rows of the service table, merged over the profile's by name."
            ),
        },
    }
    return _HEAD + yaml.dump(
        {"argument_specs": {"main": main}}, Dumper=_Dumper, sort_keys=False, width=_WIDTH
    )


def _option(kind: str, description: str) -> Spec:
    return {"type": kind, "required": True, "description": description}


def _parameters() -> dict[str, Spec]:
    hints = fields_of(Parameters)
    return {
        field.name: _parameter(field, hints[field.name])
        for field in msgspec.structs.fields(Parameters)
    }


def _parameter(field: msgspec.structs.FieldInfo, hint: object) -> Spec:
    info = inspect.type_info(hint)
    assert isinstance(info, inspect.Metadata), "every parameter is described"
    told = [
        (info.extra_json_schema or {})["description"],
        f"Expected: {expectation(hint)}.",
        f"Default: {default_of(field, hint)}.",
    ]
    return {
        **_kind(info.type),
        **({"required": True} if field.required else {}),
        "description": told,
    }


def _kind(kind: inspect.Type) -> Spec:
    match kind:
        case inspect.VarTupleType():
            item = kind.item_type
            inner = item.type if isinstance(item, inspect.Metadata) else item
            of_item = _kind(inner)
            return of_item | {"type": "list", "elements": of_item["type"]}
        case inspect.LiteralType():
            return {"type": "str", "choices": list(kind.values)}
    return {"type": _TYPES[type(kind)]}


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key, as yamllint wants it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Begin a level."""
        del indentless
        super().increase_indent(flow, indentless=False)
