"""Generations on disk: `config/N.json` and the `supervisord.conf` that starts with it.

A generation is written once and never changed. A file becomes visible whole, after its content is
on stable storage, so a crash leaves the old configuration or the new one. A lock on the folder
keeps two renderings apart.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from mta.config.compile import Configuration
from mta.config.render import render_supervisord
from mta.config.snapshot import SNAPSHOT_DIRECTORY, Snapshot, SnapshotError, load_snapshot

__all__ = ["SUPERVISORD_CONF", "Rendered", "differences", "write_generation"]

SUPERVISORD_CONF: Final = "config/supervisord.conf"  # relative to the queue directory
_KEPT: Final = 10
_MODE: Final = 0o644  # daemons of other users read it; it holds no secrets
_FILE_NAME: Final = re.compile(r"([1-9][0-9]{0,8})\.json\Z", re.ASCII)


@dataclass(frozen=True)
class Rendered:
    """What a rendering did; `changes` is empty when the last generation is still right."""

    generation: int
    changes: tuple[str, ...]


def write_generation(
    configuration: Configuration, created: float, in_force: int | None = None
) -> Rendered:
    """Write a new generation if anything changed; `created` is seconds since the epoch.

    The last ten are kept, and so is `in_force`, which the running system loads whenever it starts
    a daemon. OSError if the files cannot be written, ConfigError if a path cannot be rendered.
    """
    directory = os.path.join(configuration.parameters.queue_directory, SNAPSHOT_DIRECTORY)
    with _locked(directory) as folder:
        numbers = _generations(directory)
        latest = _latest(directory, numbers)
        next_number = max(numbers, default=0) + 1
        snapshot = configuration.snapshot(next_number, created)
        changes = differences(latest, snapshot)
        if latest is not None and not changes:
            snapshot = latest
        conf = render_supervisord(configuration, snapshot.generation).encode()
        if snapshot is not latest:
            _write(folder, f"{next_number}.json", msgspec.json.encode(snapshot))
        if _read(folder, "supervisord.conf") != conf:
            _write(folder, "supervisord.conf", conf)
        for number in sorted({*numbers, snapshot.generation})[:-_KEPT]:
            if number != in_force:
                os.unlink(f"{number}.json", dir_fd=folder)
    return Rendered(snapshot.generation, changes)


def differences(old: Snapshot | None, new: Snapshot) -> tuple[str, ...]:
    """What changed from one snapshot to the next, by name; without an old one, all of it."""
    if old is None:
        return ("first generation",)
    before, after = (_plain(snapshot) for snapshot in (old, new))
    rows_before = {row["name"]: row for row in before["services"]}
    rows_after = {row["name"]: row for row in after["services"]}
    changed = [n for n in rows_after if n in rows_before and rows_after[n] != rows_before[n]]
    values = after["parameters"].items()
    found = {
        "services added": [name for name in rows_after if name not in rows_before],
        "services removed": [name for name in rows_before if name not in rows_after],
        "services changed": changed,
        "parameters changed": [n for n, value in values if before["parameters"].get(n) != value],
        "changed": [name for name in ("profile", "python") if before[name] != after[name]],
    }
    return tuple(f"{what}: {' '.join(names)}" for what, names in found.items() if names)


def _plain(snapshot: Snapshot) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(snapshot))
    return plain


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[int]:
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(folder)


def _generations(directory: str) -> list[int]:
    matches = (_FILE_NAME.match(name) for name in os.listdir(directory))
    return sorted(int(match[1]) for match in matches if match)


def _latest(directory: str, numbers: list[int]) -> Snapshot | None:
    if not numbers:
        return None
    try:
        return load_snapshot(numbers[-1], directory)
    except SnapshotError:  # damaged, or of another version: the next generation replaces it
        return None


def _read(folder: int, name: str) -> bytes:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return b""
    with open(descriptor, "rb") as file:
        return file.read()


def _write(folder: int, name: str, data: bytes) -> None:
    temporary = f".{name}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, _MODE, dir_fd=folder)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, _MODE)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
