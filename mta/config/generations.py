"""Generations on disk: `config/N.json`, what it was made from, and `supervisord.conf`.

    N.origin.json      the files that N was compiled from (mta.config.provenance), written first
    N.json             what daemons load; with this name the generation exists
    supervisord.conf   what the master starts with, and with which generation

A generation is written once and never changed: no number ever stands for two things. A file becomes
visible whole, after its content is on stable storage, so a crash leaves the old configuration or
the new one. Looking needs no lock; who changes anything has it.
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mta.config.errors import LockedError
from mta.config.provenance import ORIGIN_MODE, Provenance, load_provenance, origin_name
from mta.config.snapshot import SNAPSHOT_DIRECTORY, Snapshot, SnapshotError, load_snapshot
from mta.util.replace import replace_file

__all__ = ["SUPERVISORD_CONF", "Generation", "GenerationFolder", "LockedFolder"]

SUPERVISORD_CONF: Final = "config/supervisord.conf"  # relative to the queue directory
_CONF: Final = "supervisord.conf"
_MODE: Final = 0o644  # daemons of other users read it; it holds no secrets
_CONF_LIMIT: Final = 64 * 1024 * 1024  # octets
_PATIENCE: Final = 60.0  # seconds: longer than a reload takes
_LOOK: Final = 0.05  # seconds
_FILE_NAME: Final = re.compile(r"([1-9][0-9]{0,8})(\.origin)?\.json\Z", re.ASCII)
_STARTS: Final = re.compile(rb"^generation=([1-9][0-9]{0,8})$", re.MULTILINE)


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
            yield LockedFolder(os.path.dirname(self.path), folder)
        finally:
            os.close(folder)

    def numbers(self) -> list[int]:
        """The generations that there are, the oldest first; FileNotFoundError: no folder yet."""
        return sorted(self._numbers(origins=False))

    def latest(self) -> Snapshot | None:
        """What was rendered last; None before any rendering.

        SnapshotError as for `load_snapshot`, OSError if the folder cannot be read.
        """
        try:
            numbers = self.numbers()
        except FileNotFoundError:
            return None
        return load_snapshot(numbers[-1], self.path) if numbers else None

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
    """The folder in the hands of the one who may change it; OSError where it cannot be done."""

    def __init__(self, queue_directory: str, folder: int) -> None:
        super().__init__(queue_directory)
        self._folder = folder

    def add(self, number: int, snapshot: bytes, provenance: bytes) -> None:
        """Write a generation: what it was made from first, for the other name makes it one."""
        replace_file(self._folder, origin_name(number), provenance, ORIGIN_MODE)
        replace_file(self._folder, f"{number}.json", snapshot, _MODE)

    def write_conf(self, conf: bytes) -> None:
        """Let the master start with this; it need not be new."""
        if self.conf() != conf:
            replace_file(self._folder, _CONF, conf, _MODE)

    def prune(self, kept: int, needed: set[int | None]) -> None:
        """Keep the newest and the needed; remove what was begun and never became a generation."""
        for number in self.numbers()[:-kept]:
            if number not in needed:
                os.unlink(f"{number}.json", dir_fd=self._folder)
        strays = [origin_name(it) for it in self._numbers(origins=True).difference(self.numbers())]
        strays += [name for name in os.listdir(self.path) if name.endswith(".new")]
        for name in strays:
            os.unlink(name, dir_fd=self._folder)
