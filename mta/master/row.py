"""Which row of the table a process is: by its name, or the first that runs this program."""

import os
import sys

from mta.config.snapshot import Service, Snapshot, SnapshotError

__all__ = ["daemon_name", "row_of"]


def row_of(snapshot: Snapshot, name: str) -> Service:
    """The row of that name, or the first of this daemon; SnapshotError if there is none."""
    daemon = daemon_name()
    for row in snapshot.services:
        if row.name == name or (not name and row.daemon == daemon):
            return row
    raise SnapshotError(
        f"generation {snapshot.generation} has no service {name}"
        if name
        else f"generation {snapshot.generation} has no service of the daemon {daemon}"
    )


def daemon_name() -> str:
    """The module that runs as the main program, without its package."""
    specification = sys.modules["__main__"].__spec__
    if specification is None:
        return os.path.basename(sys.argv[0]).removesuffix(".py")
    return specification.name.removesuffix(".__main__").rpartition(".")[2]
