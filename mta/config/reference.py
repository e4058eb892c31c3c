"""The reference manual of `main.yml` and `services.yml`, in Markdown, from the types themselves."""

import json
import typing
from typing import Final

import msgspec
from msgspec import Struct, inspect

from mta.config.parameters import Parameters
from mta.config.snapshot import Service
from mta.config.table import profiles
from mta.config.types import Used
from mta.config.uses import uses
from mta.config.validate import expectation, fields_of, is_duration
from mta.util.duration import format_duration

__all__ = ["default_of", "parameters_reference", "services_reference"]

_PARAMETERS: Final = """\
# Parameters

<!-- Written by `make reference`. -->

The keys of `main.yml`. Names are Postfix's where the meaning is; types are YAML's, so a list is a
list. Durations are seconds, or a number with a unit: `100s`, `5m`, `4h`, `5d`, `1w`. Sizes are
octets. A row of the [service table](services.md) may have other values in its `settings`, but for
what the master uses. "The master" is supervisord with its plugin, what all daemons have in common,
and the `mta` command.
"""

_TAKES: Final = {"reload": "`mta reload`", "restart": "`mta stop` and `mta start`"}

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

A change takes `mta reload`. Beside the keys below, `enabled: false` switches a row off: it has no
process, no socket and no open port.
"""


def parameters_reference() -> str:
    """The page `docs/reference/parameters.md`."""
    return _PARAMETERS + _index() + _entries(Parameters, skipped=())


def services_reference() -> str:
    """The page `docs/reference/services.md`."""
    return _SERVICES.format(profiles=", ".join(profiles())) + _entries(Service, skipped=("name",))


def default_of(field: msgspec.structs.FieldInfo, hint: object) -> str:
    """The default as one would write it, or words where there is no one value."""
    for note in typing.get_args(hint):
        if isinstance(note, Used) and note.default:
            return note.default
    if field.required:
        return "none, it must be set"
    if field.default is msgspec.NODEFAULT:
        assert field.default_factory is not msgspec.NODEFAULT, "one of the two, or required"
        if not isinstance(field.default_factory, type):
            return "the host's own name"  # the only default that differs from host to host
        return f"`{json.dumps(field.default_factory())}`"
    if is_duration(inspect.type_info(hint)):
        return f"`{format_duration(float(field.default))}`"
    return f"`{json.dumps(field.default)}`"


def _index() -> str:
    """The parameters by who uses them."""
    names: dict[str, list[str]] = {}
    for name, used in uses().items():
        for user in used.by:
            names.setdefault(user, []).append(f"[{name}](#{name})")
    rows = (f"| {_user(user)} | {', '.join(names[user])} |\n" for user in sorted(names))
    return "\n| used by | parameters |\n|---|---|\n" + "".join(rows)


def _entries(struct: type[Struct], skipped: tuple[str, ...]) -> str:
    hints = fields_of(struct)
    return "".join(
        _entry(field, hints[field.name]) + (_use(field.name) if struct is Parameters else "") + "\n"
        for field in msgspec.structs.fields(struct)
        if field.name not in skipped
    )


def _entry(field: msgspec.structs.FieldInfo, hint: object) -> str:
    info = inspect.type_info(hint)
    assert isinstance(info, inspect.Metadata), "every field is described"
    return (
        f"\n## {field.name}\n\n{(info.extra_json_schema or {})['description']}\n\n"
        f"Type: {expectation(hint)}.  \nDefault: {default_of(field, hint)}."
    )


def _use(name: str) -> str:
    used = uses()[name]
    by = ", ".join(map(_user, sorted(used.by)))
    takes = _TAKES[used.change]
    return f"  \nUsed by: {by}.  \nSince: {used.since}.  \nA change takes: {takes}."


def _user(name: str) -> str:
    return "the master" if name == "master" else name
