"""A new generation from a configuration, if anything changed; and what changed.

A file whose comments alone have changed makes one, too, which says so: otherwise a number would
stand for two texts, or the texts of the one in force would be replaced under its number.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from mta.config.compile import Configuration
from mta.config.differences import compare, summary
from mta.config.generations import Generation, LockedFolder
from mta.config.render import render_supervisord
from mta.config.snapshot import SnapshotError

__all__ = ["Rendered", "differences", "write_generation"]

_KEPT: Final = 10


@dataclass(frozen=True)
class Rendered:
    """What a rendering did; `changes` is empty when the last generation is still right."""

    generation: int
    changes: tuple[str, ...]


def write_generation(
    folder: LockedFolder,
    configuration: Configuration,
    created: float,
    in_force: int | None = None,
    *,
    prune: bool = True,
) -> Rendered:
    """Write a new generation if anything changed; `created` is seconds since the epoch.

    The last ten are kept, and so is `in_force`, which the running system loads whenever it starts
    a daemon; where it is not known, nothing is to be pruned. OSError if the files cannot be
    written, ConfigError if a path cannot be rendered.
    """
    numbers = folder.numbers()
    latest = _latest(folder, numbers)
    changes = differences(latest, configuration)
    number = max(numbers, default=0) + 1
    if latest is not None and not changes:
        number = latest.snapshot.generation
    conf = render_supervisord(configuration, number).encode()
    started = folder.starts()
    if changes:
        snapshot = msgspec.json.encode(configuration.snapshot(number, created))
        folder.add(number, snapshot, msgspec.json.encode(configuration.provenance))
    folder.write_conf(conf)
    if prune:
        folder.prune(_KEPT, {in_force, started})
    return Rendered(number, changes)


def differences(old: Generation | None, new: Configuration) -> tuple[str, ...]:
    """What a configuration changes, by name, a line each kind; without an old one, all of it."""
    if old is None:
        return ("first generation",)
    files = old.provenance.files if old.provenance is not None else None
    changed = compare(old.snapshot, new.snapshot(old.snapshot.generation, old.snapshot.created))
    return summary(changed, new.provenance.files.differing(files))


def _latest(folder: LockedFolder, numbers: list[int]) -> Generation | None:
    if not numbers:
        return None
    try:
        return folder.load(numbers[-1])
    except SnapshotError:  # damaged, or of another version: the next generation replaces it
        return None
