"""A generation: the whole compiled configuration, immutable and numbered.

`mta render` writes it as `config/GENERATION.json` in the queue directory; daemons load it in about
a millisecond and never parse YAML. It holds no secrets. Durations are seconds, sizes are octets.
"""

import os
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from mta.config.parameters import Parameters

__all__ = ["SNAPSHOT_DIRECTORY", "Service", "Snapshot", "SnapshotError", "load_snapshot"]

SNAPSHOT_DIRECTORY: Final = "config"  # relative to the queue directory
_SIZE_LIMIT: Final = 4 * 1024 * 1024

Name = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_-]{0,31}\Z")]
Count = Annotated[int, Meta(ge=0, le=10_000)]
Seconds = Annotated[float, Meta(ge=0, le=366 * 86400)]


class SnapshotError(Exception):
    """The snapshot is missing, damaged, or of another version."""


class Service(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One enabled row of the service table, all defaults filled in."""

    name: Name
    daemon: Name  # module of mta.daemons
    listen: tuple[str, ...]  # mta.util.listen
    user: str  # "" = the master's own user (rootless)
    privileged: bool
    numprocs: Annotated[int, Meta(ge=1, le=1000)]  # accepting processes at most
    min_free: Count  # processes kept free ahead of demand
    client_limit: Annotated[int, Meta(ge=1, le=100_000)]  # clients a process serves at once
    max_use: Annotated[int, Meta(ge=0)]  # units of work before a process retires; 0 = no limit
    max_idle: Seconds  # idle time before a process ends; 0 = at once
    restart: Literal["on_demand", "always", "never"]
    wakeup: Seconds  # 0 = never
    command: tuple[str, ...]  # replaces `python -I -m mta.daemons.DAEMON`; () = the default
    settings: dict[str, Any]  # parameters overridden for this row, already validated


class Snapshot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration in force under one generation number."""

    version: Literal[1]
    generation: Annotated[int, Meta(ge=1)]
    created: float  # seconds since the epoch
    profile: str
    python: str  # the interpreter that runs the daemons
    parameters: Parameters
    services: tuple[Service, ...]

    def service(self, name: str) -> Service:
        """The row of that name; KeyError if the table has none."""
        for row in self.services:
            if row.name == name:
                return row
        raise KeyError(name)

    def parameters_for(self, row: Service) -> Parameters:
        """The parameters with the row's own settings laid over them."""
        return msgspec.structs.replace(self.parameters, **row.settings)


def load_snapshot(generation: int, directory: str = SNAPSHOT_DIRECTORY) -> Snapshot:
    """Load one generation; SnapshotError names the file and what is wrong with it."""
    path = os.path.join(directory, f"{generation}.json")
    try:
        with open(path, "rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
        if len(data) > _SIZE_LIMIT:
            raise SnapshotError(f"{path}: larger than {_SIZE_LIMIT} octets")
        snapshot = msgspec.json.decode(data, type=Snapshot)
    except (OSError, msgspec.MsgspecError) as error:
        raise SnapshotError(f"{path}: {error}; run `mta render`") from error
    if snapshot.generation != generation:
        raise SnapshotError(f"{path}: holds generation {snapshot.generation}")
    return snapshot
