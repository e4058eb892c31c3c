"""`mta config show`: the settings in force, and where each comes from."""

from collections.abc import Iterator
from typing import Any

import click
import msgspec
from msgspec import Struct

from mta.commands.config.history import History
from mta.commands.config.options import Options
from mta.commands.output import as_text, table
from mta.config.errors import SnapshotError
from mta.config.parameters import Parameters
from mta.config.snapshot import Service, Snapshot
from mta.config.values import shown_key, shown_parameter
from mta.util.text import visible

__all__ = ["show"]

_DEFAULT = "default"
_UNKNOWN = "unknown"  # what the generation was made from cannot be read


class _Setting(Struct, frozen=True):
    """One value; durations are seconds, sizes are octets."""

    name: str
    value: Any
    default: Any  # null: it must be set
    origin: str

    @property
    def changed(self) -> bool:
        """Whether it is set somewhere, or is not the default of this host and release."""
        return self.origin != _DEFAULT or self.value != self.default


class _Row(Struct, frozen=True):
    name: str
    origin: str
    enabled: bool
    keys: tuple[_Setting, ...] = ()


@click.command()
@click.argument("what", required=False, type=click.Choice(["parameters", "services"]))
@click.option("--changed/--all", default=True, help="What is not a default [default], or all.")
@click.option("--generation", type=click.IntRange(1), metavar="N", help="Another generation.")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_obj
def show(
    options: Options, what: str | None, changed: bool, generation: int | None, as_json: bool
) -> None:
    """Show the parameters or the service table in force, or both: values and where each is set.

    A place is FILE:LINE:COLUMN, "profile NAME" or "default".
    """
    history = History.of(options.queue_directory)
    number = generation or history.in_force
    snapshot = history.load(number).snapshot
    origins = _origins(history, number)
    parameters = [each for each in _parameters(snapshot, origins) if each.changed or not changed]
    rows = list(_rows(snapshot, origins, changed=changed))
    if as_json:
        found = {"parameters": parameters, "services": rows}
        chosen = {name: found[name] for name in found if what in (None, name)}
        click.echo(as_text({"generation": number, **msgspec.to_builtins(chosen)}))
        return
    click.echo(f"generation {number}, profile {visible(snapshot.profile)}")
    if what in (None, "parameters"):
        click.echo("\n" + table(("parameter", "from"), list(map(_line, parameters))))
    if what in (None, "services"):
        click.echo(
            "\n" + table(("service", "from"), [line for row in rows for line in _lines(row)])
        )


def _origins(history: History, number: int) -> dict[str, str] | None:
    """Where each value comes from; None, and a word about it, if that cannot be read."""
    try:
        return history.provenance(number).origins
    except (SnapshotError, PermissionError) as error:
        click.echo(f"mta: where values come from is not known: {error}", err=True)
        return None


def _parameters(snapshot: Snapshot, origins: dict[str, str] | None) -> Iterator[_Setting]:
    defaults = _defaults(Parameters)
    for name, value in _plain(snapshot.parameters).items():
        yield _setting(name, value, defaults.get(name), origins, f"main.{name}")


def _rows(snapshot: Snapshot, origins: dict[str, str] | None, *, changed: bool) -> Iterator[_Row]:
    """The enabled rows, then those that are switched off."""
    for row in snapshot.services:
        path = f"services.{row.name}"
        keys = tuple(
            key for key in _keys(row, snapshot, origins, path) if key.changed or not changed
        )
        yield _Row(row.name, _UNKNOWN if origins is None else origins.get(path, ""), True, keys)
    for path, origin in (origins or {}).items():
        match path.split("."):
            case ["services", name, "enabled"]:
                yield _Row(name, origin, enabled=False)


def _keys(
    row: Service, snapshot: Snapshot, origins: dict[str, str] | None, path: str
) -> Iterator[_Setting]:
    defaults = _defaults(Service)
    plain = _plain(row)
    for name, value in plain.items():
        if name not in ("name", "settings"):
            yield _setting(name, value, defaults.get(name), origins, f"{path}.{name}")
    main = _plain(snapshot.parameters)
    for name, value in plain["settings"].items():
        yield _setting(
            f"settings.{name}", value, main.get(name), origins, f"{path}.settings.{name}"
        )


def _setting(
    name: str, value: object, default: object, origins: dict[str, str] | None, path: str
) -> _Setting:
    if origins is not None:
        return _Setting(name, value, default, origins.get(path, _DEFAULT))
    return _Setting(name, value, default, _DEFAULT if value == default else _UNKNOWN)


def _defaults(struct: type[Struct]) -> dict[str, Any]:
    """What a field is when nobody sets it; a field that must be set has none."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        if field.default is not msgspec.NODEFAULT:
            found[field.name] = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            found[field.name] = field.default_factory()
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
    return plain


def _plain(struct: Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(struct))
    return plain


def _line(setting: _Setting) -> tuple[str, str]:
    return (
        f"{visible(setting.name)} = {shown_parameter(setting.name, setting.value)}",
        setting.origin,
    )


def _lines(row: _Row) -> Iterator[tuple[str, str]]:
    yield (row.name if row.enabled else f"{row.name} is switched off"), row.origin
    for key in row.keys:
        yield f"  {visible(key.name)} = {shown_key(key.name, key.value)}", key.origin
