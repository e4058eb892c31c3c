"""Operations on the files and folders of the trees, and what the world was told.

Files are numbered, folders have their paths, relative to the folder that all trees are in.
Times are no part of it: a time that gets lost makes a message due.
"""

from dataclasses import dataclass

__all__ = [
    "Acknowledge",
    "Create",
    "MakeFolder",
    "Operation",
    "Recording",
    "Remove",
    "Rename",
    "SetMode",
    "SyncFile",
    "SyncFolder",
    "Take",
    "Timed",
    "Write",
]


@dataclass(frozen=True)
class MakeFolder:
    path: str
    mode: int


@dataclass(frozen=True)
class Create:
    """An empty file gets a name; files are numbered from 0."""

    file: int
    path: str
    mode: int


@dataclass(frozen=True)
class Write:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class SetMode:
    file: int
    mode: int


@dataclass(frozen=True)
class Rename:
    file: int
    path: str


@dataclass(frozen=True)
class Remove:
    file: int


@dataclass(frozen=True)
class SyncFile:
    file: int


@dataclass(frozen=True)
class SyncFolder:
    path: str


@dataclass(frozen=True)
class Acknowledge:
    """A client may have its 250 from the entry on."""

    queue_id: str


@dataclass(frozen=True)
class Take:
    """The next host has taken a message for a recipient, at the latest at the entry."""

    queue_id: str
    recipient: str


Operation = (
    MakeFolder
    | Create
    | Write
    | SetMode
    | Rename
    | Remove
    | SyncFile
    | SyncFolder
    | Acknowledge
    | Take
)


@dataclass(frozen=True)
class Timed:
    """An operation, and between which places of the record it had its effect."""

    operation: Operation
    entered: int
    returned: int | None


@dataclass(frozen=True)
class Recording:
    """All that happened to the trees, by entry; `folders` were there before."""

    folders: frozenset[str]
    operations: tuple[Timed, ...]
