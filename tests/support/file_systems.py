"""Which file system a path lies on: where fsync costs nothing, nothing can be measured."""

from pathlib import Path
from typing import Final

__all__ = ["IN_MEMORY", "file_system_of"]

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})  # where fsync costs nothing


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that a path lies on, by /proc/self/mounts (fstab(5))."""
    best, found = -1, "unknown"
    for line in mounts.splitlines():
        _, mounted, kind, *_ = line.split()
        place = Path(mounted.encode().decode("unicode_escape"))
        if path.resolve().is_relative_to(place) and len(place.parts) >= best:
            best, found = len(place.parts), kind
    return found
