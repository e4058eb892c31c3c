"""Generations on disk: `config/N.json`, what it was made from, and the `supervisord.conf`.

    N.origin.json      the files that N was compiled from (mta.config.provenance), written first
    N.json             what daemons load; with this name the generation exists
    supervisord.conf   what the master starts with, and with which generation

A generation is written once and never changed: no number ever stands for two things. So a file
whose comments alone have changed makes a new one, which says so. A file becomes visible whole,
after its content is on stable storage, so a crash leaves the old configuration or the new one.
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from mta.config.compile import Configuration
from mta.config.differences import compare, summary
from mta.config.errors import LockedError
from mta.config.provenance import Provenance, load_provenance, origin_name
from mta.config.render import render_supervisord
from mta.config.snapshot import SNAPSHOT_DIRECTORY, Snapshot, SnapshotError, load_snapshot
from mta.util.replace import replace_file

__all__ = [
    "KEPT",
    "SUPERVISORD_CONF",
    "Generation",
    "GenerationFolder",
    "LockedFolder",
    "Rendered",
    "differences",
]

SUPERVISORD_CONF: Final = "config/supervisord.conf"  # relative to the queue directory
KEPT: Final = 10
_CONF: Final = "supervisord.conf"
_MODE: Final = 0o644  # daemons of other users read it; it holds no secrets
_ORIGIN_MODE: Final = 0o600  # the operator's files may be less open than that
_CONF_LIMIT: Final = 64 * 1024 * 1024  # octets
_PATIENCE: Final = 60.0  # seconds: longer than a reload takes
_LOOK: Final = 0.05  # seconds
_FILE_NAME: Final = re.compile(r"([1-9][0-9]{0,8})(\.origin)?\.json\Z", re.ASCII)
_STARTS: Final = re.compile(rb"^generation=([1-9][0-9]{0,8})$", re.MULTILINE)


@dataclass(frozen=True)
class Rendered:
    """What a rendering did; `changes` is empty when the last generation is still right."""

    generation: int
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Generation:
    """A generation as it is on disk."""

    snapshot: Snapshot
    provenance: Provenance | None  # None: it has none that could be read


class GenerationFolder:
    """The folder `config/` of one queue directory."""

    def __init__(self, queue_directory: str) -> None:
        self.path = os.path.join(queue_directory, SNAPSHOT_DIRECTORY)

    @contextlib.contextmanager
    def locked(self, patience: float = _PATIENCE) -> Iterator["LockedFolder"]:
        """Keep everybody else from changing the configuration; LockedError if somebody does.

        Whoever reads files in order to render them reads them under the lock, and keeps it until
        they are in force: what goes live last is then what the files say. `patience` is seconds.
        """
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        text = f"{self.path}: another command changes the configuration"
                        raise LockedError(text) from None
                time.sleep(_LOOK)
            yield LockedFolder(self.path, folder)
        finally:
            os.close(folder)

    def numbers(self) -> list[int]:
        """The generations that there are, the oldest first; FileNotFoundError: no folder yet."""
        return sorted(self._numbers(origins=False))

    def load(self, number: int) -> Generation:
        """One generation; SnapshotError names the file and what is wrong with it.

        What it was made from may be missing, damaged or another user's: it is of use without.
        """
        snapshot = load_snapshot(number, self.path)
        try:
            return Generation(snapshot, load_provenance(number, self.path))
        except (SnapshotError, PermissionError):
            return Generation(snapshot, None)

    def starts(self) -> int | None:
        """The generation that the next start of the master is for; None before any rendering."""
        found = _STARTS.search(self.conf())
        return int(found[1]) if found else None

    def conf(self) -> bytes:
        """The text of supervisord.conf; nothing if there is none."""
        try:
            with open(os.path.join(self.path, _CONF), "rb") as file:
                return file.read(_CONF_LIMIT)
        except FileNotFoundError:
            return b""

    def _numbers(self, *, origins: bool) -> set[int]:
        matches = (_FILE_NAME.match(name) for name in os.listdir(self.path))
        return {int(match[1]) for match in matches if match and bool(match[2]) == origins}


class LockedFolder(GenerationFolder):
    """The folder in the hands of the one who may change it."""

    def __init__(self, path: str, folder: int) -> None:
        super().__init__(os.path.dirname(path))
        self._folder = folder

    def write(
        self,
        configuration: Configuration,
        created: float,
        in_force: int | None = None,
        *,
        prune: bool = True,
    ) -> Rendered:
        """Write a new generation if anything changed; `created` is seconds since the epoch.

        The last ten are kept, and so is `in_force`, which the running system loads whenever it
        starts a daemon. OSError if the files cannot be written, ConfigError if a path cannot be
        rendered.
        """
        numbers = self.numbers()
        latest = self._latest(numbers)
        number = max(numbers, default=0) + 1
        changes = differences(latest, configuration)
        if latest is not None and not changes:
            number = latest.snapshot.generation
        conf = render_supervisord(configuration, number).encode()
        started = self.starts()
        if changes:
            provenance = msgspec.json.encode(configuration.provenance)
            snapshot = msgspec.json.encode(configuration.snapshot(number, created))
            replace_file(self._folder, origin_name(number), provenance, _ORIGIN_MODE)
            replace_file(self._folder, f"{number}.json", snapshot, _MODE)
        self.write_conf(conf)
        if prune:
            self._prune({in_force, started})
        return Rendered(number, changes)

    def write_conf(self, conf: bytes) -> None:
        """Let the master start with this; it need not be new."""
        if self.conf() != conf:
            replace_file(self._folder, _CONF, conf, _MODE)

    def _latest(self, numbers: list[int]) -> Generation | None:
        if not numbers:
            return None
        try:
            return self.load(numbers[-1])
        except SnapshotError:  # damaged, or of another version: the next generation replaces it
            return None

    def _prune(self, needed: set[int | None]) -> None:
        """Remove what is old, and what was begun and never became a generation."""
        numbers = self.numbers()
        for number in numbers[:-KEPT]:
            if number not in needed:
                os.unlink(f"{number}.json", dir_fd=self._folder)
        strays = [origin_name(it) for it in self._numbers(origins=True).difference(self.numbers())]
        strays += [name for name in os.listdir(self.path) if name.endswith(".new")]
        for name in strays:
            os.unlink(name, dir_fd=self._folder)


def differences(old: Generation | None, new: Configuration) -> tuple[str, ...]:
    """What a configuration changes, by name, a line each kind; without an old one, all of it."""
    if old is None:
        return ("first generation",)
    files = old.provenance.files if old.provenance is not None else None
    changed = compare(old.snapshot, new.snapshot(old.snapshot.generation, old.snapshot.created))
    return summary(changed, new.provenance.files.differing(files))
