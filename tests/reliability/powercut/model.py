"""What a power cut may leave: how much of each file's and folder's history is on stable storage.

A file has three histories: its names, its modes, its writes; a folder has a name. Each history has
two marks that only grow: so much was issued (its call was entered), so much is durable.

    portable     fsync of a file makes durable its modes and writes, nothing else. A name is durable
                 by fsync of the folder that it is in, its absence by fsync of that where it was;
                 a folder's own name by fsync of its parent. What POSIX promises, and no more.
    journaled    ext4 (data=ordered), xfs, btrfs. Besides, fsync of a file makes its present name
                 durable, fsync of a folder the folder's own, each with all folders above.

The law: what an fsync promises are the calls that had returned before it was entered, from its own
return on. All else that was issued may be there or not, each for itself, except that a history is
kept from its beginning up to some point, and that a name changes at once: there is the old one or
the new one, never both, never neither. Order between files, which journals keep, is not relied on.

Writes are looser still: see contents.py.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from reliability.powercut.operations import (
    Acknowledge,
    Create,
    MakeFolder,
    Operation,
    Recording,
    Remove,
    Rename,
    SetMode,
    SyncFile,
    SyncFolder,
    Take,
    Write,
)

__all__ = ["Event", "History", "Model", "Node", "World", "events"]

Node = int | str  # a file's number, or a folder's path


class Model(Enum):
    """Which promises the file system makes."""

    PORTABLE = "portable"
    JOURNALED = "journaled"


@dataclass(frozen=True)
class Event:
    """An operation is entered or returns; a power cut may come before or after, not within."""

    operation: Operation
    number: int  # of the operation
    returns: bool


def events(recording: Recording) -> list[Event]:
    """All entries and returns in their order."""
    placed = []
    for number, timed in enumerate(recording.operations):
        placed.append((timed.entered, Event(timed.operation, number, returns=False)))
        if timed.returned is not None and not isinstance(timed.operation, Acknowledge | Take):
            placed.append((timed.returned, Event(timed.operation, number, returns=True)))
    return [event for _, event in sorted(placed, key=lambda pair: pair[0])]


@dataclass
class Track:
    """One history: what was issued, by operation's number; how much returned, how much lasts."""

    issued: list[int] = field(default_factory=list)
    returned: set[int] = field(default_factory=set)
    durable: int = 0
    _leading: int = 0

    def settled(self) -> int:
        """How many, from the beginning on, have returned."""
        while self._leading < len(self.issued) and self.issued[self._leading] in self.returned:
            self._leading += 1
        return self._leading


@dataclass
class History:
    """All that happened to one file or folder."""

    names: Track = field(default_factory=Track)
    modes: Track = field(default_factory=Track)
    writes: Track = field(default_factory=Track)
    paths: list[str | None] = field(default_factory=list)  # beside names; None: it was removed
    settings: list[int] = field(default_factory=list)  # beside modes
    pieces: list[Write] = field(default_factory=list)  # beside writes

    def __iter__(self) -> Iterator[Track]:
        return iter((self.names, self.modes, self.writes))


_Promise = list[tuple[Track, int, Node]]


class World:
    """The histories as of one event; `step` goes to the next."""

    def __init__(self, recording: Recording, model: Model) -> None:
        self.folders: Final = recording.folders  # they were there before, and stay
        self.histories: dict[Node, History] = {}
        self.acknowledged: list[str] = []
        self.taken: list[Take] = []
        self._covers_names = model is Model.JOURNALED
        self._promises: dict[int, _Promise] = {}  # of the syncs that have not returned
        # By folder: whose names in it, which of them, are not known to be durable.
        self._entries: defaultdict[str, set[tuple[Node, int]]] = defaultdict(set)

    def step(self, event: Event) -> set[Node]:
        """Take in one event; the nodes of which more is possible, or less, than before."""
        operation, number = event.operation, event.number
        if event.returns:
            return self._return(operation, number)
        match operation:
            case Acknowledge(queue_id):
                self.acknowledged.append(queue_id)
                return set()
            case Take():
                self.taken.append(operation)
                return set()
            case SyncFile(file):
                self._promises[number] = self._promise_of_file(file)
                return set()
            case SyncFolder(path):
                self._promises[number] = self._promise_of_folder(path)
                return set()
            case _:
                return {self._issue(operation, number)}

    def _issue(self, operation: Operation, number: int) -> Node:
        match operation:
            case MakeFolder(path, mode):
                self._name(path, number, path)
                self._mode(path, number, mode)
                return path
            case Create(file, path, mode):
                self._name(file, number, path)
                self._mode(file, number, mode)
                return file
            case Rename(file, path):
                self._name(file, number, path)
                return file
            case Remove(file):
                self._name(file, number, None)
                return file
            case SetMode(file, mode):
                self._mode(file, number, mode)
                return file
            case Write(file):
                history = self.histories[file]
                history.writes.issued.append(number)
                history.pieces.append(operation)
                return file
        raise TypeError(f"not issued: {operation}")

    def _name(self, node: Node, number: int, path: str | None) -> None:
        history = self.histories.setdefault(node, History())
        place = path if path is not None else history.paths[-1]
        assert place is not None
        self._entries[os.path.dirname(place)].add((node, len(history.paths) + 1))
        history.names.issued.append(number)
        history.paths.append(path)

    def _mode(self, node: Node, number: int, mode: int) -> None:
        history = self.histories[node]
        history.modes.issued.append(number)
        history.settings.append(mode)

    def _return(self, operation: Operation, number: int) -> set[Node]:
        if isinstance(operation, SyncFile | SyncFolder):
            changed = set()
            for track, count, node in self._promises.pop(number):
                if count > track.durable:
                    track.durable = count
                    changed.add(node)
            return changed
        node = operation.path if isinstance(operation, MakeFolder) else _file(operation)
        for track in self.histories[node]:
            track.returned.add(number)
        return set()

    def _promise_of_file(self, file: int) -> _Promise:
        history = self.histories[file]
        promise: _Promise = [
            (history.modes, history.modes.settled(), file),
            (history.writes, history.writes.settled(), file),
        ]
        if self._covers_names:
            settled = history.names.settled()
            promise.append((history.names, settled, file))
            path = history.paths[settled - 1] if settled else None
            promise += self._folders_above(path or "")
        return promise

    def _promise_of_folder(self, path: str) -> _Promise:
        promise: _Promise = []
        for node, count in list(self._entries[path]):
            names = self.histories[node].names
            if count <= names.durable:
                self._entries[path].discard((node, count))
            elif count <= names.settled():
                promise.append((names, count, node))
        if self._covers_names:
            promise += self._folders_above(os.path.join(path, "."))
        return promise

    def _folders_above(self, path: str) -> _Promise:
        promise: _Promise = []
        while path := os.path.dirname(path):
            if path in self.histories:
                names = self.histories[path].names
                promise.append((names, names.settled(), path))
        return promise


def _file(operation: Operation) -> int:
    assert isinstance(operation, Create | Write | SetMode | Rename | Remove)
    return operation.file
