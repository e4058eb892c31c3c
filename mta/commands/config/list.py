"""`mta config list`: the generations there are."""

from collections.abc import Iterator
from datetime import UTC, datetime

import click
import msgspec
from msgspec import Struct

from mta.commands.config.history import History
from mta.commands.config.options import Options
from mta.commands.output import as_text, table
from mta.config.differences import compare, summary
from mta.config.errors import SnapshotError
from mta.config.generations import Generation
from mta.util.text import visible

__all__ = ["list_generations"]

_HEAD = ("generation", "created", "state", "profile", "what changed")


class _Entry(Struct, frozen=True, kw_only=True):
    """One line; of a damaged generation nothing is known but its number."""

    generation: int
    in_force: bool
    created: str = ""  # local time (ISO 8601)
    profile: str = ""
    changes: tuple[str, ...] = ()
    damaged: str = ""  # why it cannot be used


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print an array.")
@click.pass_obj
def list_generations(options: Options, as_json: bool) -> None:
    """List the generations, the oldest first, and what each changed."""
    history = History.of(options.queue_directory)
    entries = list(_entries(history))
    if as_json:
        click.echo(as_text(msgspec.to_builtins(entries)))
    else:
        in_force = "in force" if history.running else "starts next"
        click.echo(table(_HEAD, [_row(entry, in_force) for entry in entries]))


def _entries(history: History) -> Iterator[_Entry]:
    """The change of one is told against the last before it that can be read."""
    last: Generation | None = None
    for number in history.numbers:
        in_force = number == history.in_force
        try:
            found = history.load(number)
        except SnapshotError as error:
            yield _Entry(generation=number, in_force=in_force, damaged=str(error))
            continue
        yield _Entry(
            generation=number,
            in_force=in_force,
            created=_local(found.snapshot.created),
            profile=found.snapshot.profile,
            changes=_changes(last, found),
        )
        last = found


def _changes(old: Generation | None, new: Generation) -> tuple[str, ...]:
    if old is None:
        return ()  # what was before is not kept
    files: tuple[str, ...] = ()
    if old.provenance is not None and new.provenance is not None:
        files = new.provenance.files.differing(old.provenance.files)
    return summary(compare(old.snapshot, new.snapshot), files)


def _local(created: float) -> str:
    return datetime.fromtimestamp(created, UTC).astimezone().isoformat(timespec="seconds")


def _row(entry: _Entry, in_force: str) -> tuple[str | int, ...]:
    state = in_force if entry.in_force else ""
    if entry.damaged:
        return (entry.generation, "", state, "", visible(f"damaged: {entry.damaged}"))
    told = visible("; ".join(entry.changes))
    return (entry.generation, entry.created, state, visible(entry.profile), told)
