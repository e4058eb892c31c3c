"""The reference manual of `main.yml` and `services.yml`, in Markdown, from the types themselves."""

import json
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect

from mta.config.parameters import DurationUnit, Parameters
from mta.config.snapshot import Service
from mta.config.table import profiles
from mta.config.validate import expectation, fields_of
from mta.util.duration import format_duration

__all__ = ["parameters_reference", "services_reference"]

_PARAMETERS: Final = """\
# Parameters

<!-- Written by `make reference`. -->

The keys of `main.yml`. Names are Postfix's where the meaning is; types are YAML's, so a list is a
list. Durations are seconds, or a number with a unit: `100s`, `5m`, `4h`, `5d`, `1w`. Sizes are
octets. A row of the [service table](services.md) may have other values in its `settings`.
"""

_SERVICES: Final = """\
# The service table

<!-- Written by `make reference`. -->

`services.yml` names a `profile` ({profiles}), a table that is shipped, and the rows in which this
system differs. Rows are merged over the profile's by name; settings merge one by one.

```yaml
profile: hub
services:
  smtp:
    listen: ["inet:127.0.0.1:2525"]
    numprocs: 4
  virtual: {{enabled: false}}
```

Beside the keys below, `enabled: false` switches a row off: it has no process, no socket and no
open port.
"""


def parameters_reference() -> str:
    """The page `docs/reference/parameters.md`."""
    return _PARAMETERS + _entries(Parameters, skipped=())


def services_reference() -> str:
    """The page `docs/reference/services.md`."""
    return _SERVICES.format(profiles=", ".join(profiles())) + _entries(Service, skipped=("name",))


def _entries(struct: type[Struct], skipped: tuple[str, ...]) -> str:
    hints = fields_of(struct)
    return "".join(
        _entry(field, hints[field.name])
        for field in msgspec.structs.fields(struct)
        if field.name not in skipped
    )


def _entry(field: msgspec.structs.FieldInfo, hint: object) -> str:
    info = inspect.type_info(hint)
    schema: dict[str, Any] = {}
    if isinstance(info, inspect.Metadata):
        schema = info.extra_json_schema or {}
    is_duration = isinstance(info, inspect.Metadata) and info.extra == DurationUnit
    default = _default(field, is_duration)
    expected = expectation(hint)
    return (
        f"\n## {field.name}\n\n{schema['description']}\n\n"
        f"Type: {expected}.  \nDefault: {default}.\n"
    )


def _default(field: msgspec.structs.FieldInfo, is_duration: bool) -> str:
    if field.required:
        return "none, it must be set"
    if field.default is msgspec.NODEFAULT:
        assert field.default_factory is not msgspec.NODEFAULT, "one of the two, or required"
        if not isinstance(field.default_factory, type):
            return "the host's own name"  # the only default that differs from host to host
        return f"`{json.dumps(field.default_factory())}`"
    if is_duration:
        return f"`{format_duration(float(field.default))}`"
    return f"`{json.dumps(field.default)}`"
