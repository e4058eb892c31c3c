"""The generations of one system, and which of them is in force."""

import os
from dataclasses import dataclass
from typing import Self

from mta.commands.control import Control
from mta.commands.failure import Failure, NotRunningError
from mta.config.generations import Generation, GenerationFolder
from mta.config.provenance import Provenance, load_provenance

__all__ = ["History"]


@dataclass(frozen=True)
class History:
    """What there is at one moment."""

    folder: GenerationFolder
    numbers: tuple[int, ...]  # the oldest first
    in_force: int  # of the running master; if none runs, what it would start with
    running: bool

    @classmethod
    def of(cls, queue_directory: str) -> Self:
        """Look; Failure if nothing was rendered yet, ControlError if the master cannot say."""
        folder = GenerationFolder(queue_directory)
        try:
            numbers = tuple(folder.numbers())
        except FileNotFoundError:
            numbers = ()
        if not numbers:
            text = f"{folder.path}: no generation yet: `mta render` or `mta start` makes one"
            raise Failure(text, os.EX_NOINPUT)
        try:
            in_force = Control(queue_directory).status().generation
        except NotRunningError:
            return cls(folder, numbers, folder.starts() or numbers[-1], running=False)
        return cls(folder, numbers, in_force, running=True)

    def before(self, number: int) -> int:
        """The generation before that one; Failure if there is none."""
        earlier = [each for each in self.numbers if each < number]
        if not earlier:
            raise Failure(f"there is no generation before {number}", os.EX_NOINPUT)
        return earlier[-1]

    def load(self, number: int) -> Generation:
        """One generation; Failure if there is none, SnapshotError if it is damaged."""
        self._require(number)
        return self.folder.load(number)

    def provenance(self, number: int) -> Provenance:
        """What one was made from; likewise, and PermissionError if it is another user's."""
        self._require(number)
        return load_provenance(number, self.folder.path)

    def _require(self, number: int) -> None:
        if number not in self.numbers:
            there_are = " ".join(map(str, self.numbers))
            raise Failure(f"no generation {number}: there are {there_are}", os.EX_NOINPUT)
