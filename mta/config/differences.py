"""What changed from one generation to another: the one comparison that all commands tell of.

Two generations with the same settings, rows, profile and interpreter are equal, whatever their
number, their age, and the order of their rows.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from mta.config.snapshot import Service, Snapshot

__all__ = ["Change", "Differences", "RowChange", "compare", "summary"]


class Change(Struct, frozen=True):
    """A setting with another value; UNSET where there is none of its own."""

    name: str  # of a row: "numprocs", "settings.smtpd_timeout"
    old: Any
    new: Any


class RowChange(Struct, frozen=True):
    """A row that is in both tables, and is not the same."""

    name: str
    keys: tuple[Change, ...]


class Differences(Struct, frozen=True, kw_only=True):
    """All that differs; falsy when nothing does."""

    profile: Change | None = None
    interpreter: Change | None = None
    parameters: tuple[Change, ...] = ()
    started: tuple[Service, ...] = ()
    stopped: tuple[Service, ...] = ()
    changed: tuple[RowChange, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__struct_fields__)


def compare(old: Snapshot, new: Snapshot) -> Differences:
    """What has to be done to `old` for it to be `new`."""
    before, after = (_plain(snapshot) for snapshot in (old, new))
    rows_before, rows_after = ({row.name: row for row in it.services} for it in (old, new))
    keys_before, keys_after = (
        {row["name"]: _keys(row) for row in it["services"]} for it in (before, after)
    )
    changes = {
        name: tuple(_changes(keys_before[name], keys))
        for name, keys in keys_after.items()
        if name in keys_before
    }
    return Differences(
        profile=_change("profile", old.profile, new.profile),
        interpreter=_change("interpreter", old.python, new.python),
        parameters=tuple(_changes(before["parameters"], after["parameters"])),
        started=tuple(row for name, row in rows_after.items() if name not in rows_before),
        stopped=tuple(row for name, row in rows_before.items() if name not in rows_after),
        changed=tuple(RowChange(name, found) for name, found in changes.items() if found),
    )


def summary(found: Differences, files: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The differences by name, a line each kind; none if there are none.

    `files` are those whose texts differ; that is worth a line where their values do not.
    """
    names = {
        "services added": [row.name for row in found.started],
        "services removed": [row.name for row in found.stopped],
        "services changed": [row.name for row in found.changed],
        "parameters changed": [change.name for change in found.parameters],
        "changed": [it.name for it in (found.profile, found.interpreter) if it is not None],
    }
    if not found:
        names["files only"] = list(files)
    return tuple(f"{what}: {' '.join(which)}" for what, which in names.items() if which)


def _plain(snapshot: Snapshot) -> dict[str, Any]:
    """As it is on disk: a list in a row's settings is no tuple there."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(snapshot))
    return plain


def _keys(row: Mapping[str, Any]) -> dict[str, Any]:
    settings = {f"settings.{name}": value for name, value in row["settings"].items()}
    return {name: value for name, value in row.items() if name != "settings"} | settings


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in {**old, **new}:
        change = _change(name, old.get(name, UNSET), new.get(name, UNSET))
        if change is not None:
            yield change


def _change(name: str, old: object, new: object) -> Change | None:
    return None if old == new else Change(name, old, new)
