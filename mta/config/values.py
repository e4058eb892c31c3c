"""Values as people write them in the files: durations with a unit, all else as YAML reads JSON."""

import functools
import json

from msgspec import UNSET, Struct, inspect

from mta.config.parameters import Parameters
from mta.config.snapshot import Service
from mta.config.validate import fields_of, is_duration
from mta.util.duration import format_duration
from mta.util.text import visible

__all__ = ["shown_key", "shown_parameter"]

_SETTING = "settings."


def shown_parameter(name: str, value: object) -> str:
    """A parameter's value; `unset` for UNSET."""
    return _shown(value, is_duration=name in _durations(Parameters))


def shown_key(name: str, value: object) -> str:
    """The value of a row's key, or of one of its settings (`settings.NAME`)."""
    if name.startswith(_SETTING):
        return shown_parameter(name.removeprefix(_SETTING), value)
    return _shown(value, is_duration=name in _durations(Service))


def _shown(value: object, *, is_duration: bool) -> str:
    if value is UNSET:
        return "unset"
    if is_duration and isinstance(value, int | float):
        return format_duration(float(value))
    return visible(json.dumps(value, ensure_ascii=False))


@functools.cache
def _durations(struct: type[Struct]) -> frozenset[str]:
    hints = fields_of(struct).items()
    return frozenset(name for name, hint in hints if is_duration(inspect.type_info(hint)))
