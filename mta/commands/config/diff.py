"""`mta config diff`: what changed from one generation to another."""

from collections.abc import Callable, Iterator
from typing import Any

import click
import msgspec
from msgspec import UNSET

from mta.commands.config.history import History
from mta.commands.config.options import Options
from mta.commands.output import as_text
from mta.config.differences import Change, Differences, compare
from mta.config.values import shown_key, shown_parameter
from mta.util.text import visible

__all__ = ["diff"]

_Number = click.IntRange(1)


@click.command()
@click.argument("old", metavar="[A]", required=False, type=_Number)
@click.argument("new", metavar="[B]", required=False, type=_Number)
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_obj
def diff(options: Options, old: int | None, new: int | None, as_json: bool) -> None:
    """Tell what changed from generation A to generation B.

    B is the one in force if it is not named, and A the one before that.
    """
    history = History.of(options.queue_directory)
    to = new or history.in_force
    since = old or history.before(to)
    before, after = history.load(since), history.load(to)
    found = compare(before.snapshot, after.snapshot)
    files: tuple[str, ...] = ()
    if before.provenance is not None and after.provenance is not None:
        files = after.provenance.files.differing(before.provenance.files)
    if as_json:
        click.echo(as_text({"from": since, "to": to, **_object(found), "files": list(files)}))
        return
    click.echo(f"from generation {since} to {to}")
    for line in _lines(found):
        click.echo(line)
    if not found:
        click.echo(f"the same settings; texts differ: {' '.join(files)}" if files else "the same")


def _object(found: Differences) -> dict[str, Any]:
    """For programs; null where a value is not set."""
    return {
        "profile": _change(found.profile),
        "interpreter": _change(found.interpreter),
        "parameters": list(map(_change, found.parameters)),
        "services": {
            "started": [row.name for row in found.started],
            "stopped": [row.name for row in found.stopped],
            "changed": [
                {"name": row.name, "keys": list(map(_change, row.keys))} for row in found.changed
            ],
        },
    }


def _change(change: Change | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {
        name: None if value is UNSET else value
        for name, value in msgspec.structs.asdict(change).items()
    }


def _lines(found: Differences) -> Iterator[str]:
    for change in (found.profile, found.interpreter, *found.parameters):
        if change is not None:
            yield _line(change.name, change, shown_parameter)
    if found.started:
        yield "services started: " + " ".join(row.name for row in found.started)
    if found.stopped:
        yield "services stopped: " + " ".join(row.name for row in found.stopped)
    for row in found.changed:
        for key in row.keys:
            yield _line(f"{row.name}: {key.name}", key, shown_key)


def _line(name: str, change: Change, shown: Callable[[str, object], str]) -> str:
    return f"{visible(name)}: {shown(change.name, change.old)} -> {shown(change.name, change.new)}"
