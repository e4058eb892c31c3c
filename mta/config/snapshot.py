"""A generation: the whole compiled configuration, immutable and numbered.

`mta render` writes it as `config/GENERATION.json` in the queue directory; daemons load it in about
a millisecond and never parse YAML. It holds no secrets. Durations are seconds, sizes are octets.
"""

import os
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from mta.config.errors import SnapshotError
from mta.config.parameters import Parameters
from mta.config.types import DurationUnit

__all__ = [
    "SNAPSHOT_DIRECTORY",
    "SNAPSHOT_LIMIT",
    "Service",
    "Snapshot",
    "SnapshotError",
    "load_snapshot",
]

SNAPSHOT_DIRECTORY: Final = "config"  # relative to the queue directory
SNAPSHOT_LIMIT: Final = 4 * 1024 * 1024  # octets
_LAST_TIME: Final = 253_370_764_800  # the year 9999, in every time zone


Name = Annotated[str, Meta(title="a short lower-case name", pattern=r"\A[a-z][a-z0-9_-]{0,31}\Z")]
UserName = Annotated[
    str, Meta(title="a user's name, or nothing", pattern=r"\A(?:[a-z_][a-z0-9_-]{0,31})?\Z")
]
Listener = Annotated[
    str,
    Meta(
        title="inet:IPV4:PORT, inet:[IPV6]:PORT, unix:PATH, ipc:PATH or pipe:NAME "
        "(a PATH is public/NAME or private/NAME)",
        pattern=r"\A(?:inet:(?:[0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}"
        r"|(?:unix|ipc):(?:public|private)/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}"
        r"|pipe:[a-z][a-z0-9_-]{0,31})\Z",
    ),
]
# A parameter's value, whichever.
Setting = bool | int | float | str | tuple[str, ...]
Argument = Annotated[str, Meta(title="printable text", pattern=r"\A[^\x00-\x1f\x7f]+\Z")]


def _seconds(text: str) -> Meta:
    return Meta(ge=0.0, le=366 * 86400.0, description=text, extra=DurationUnit)


class Service(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One enabled row of the service table, all defaults filled in."""

    name: Annotated[Name, Meta(description="The row's name: the key in the service table.")]
    daemon: Annotated[
        Name,
        Meta(
            description="The program: a module of mta.daemons. Where command names a program of "
            "its own, this says what it is in place of: when it ends in a drain, who may connect."
        ),
    ]
    listen: Annotated[
        tuple[Listener, ...],
        Meta(
            description="Addresses that the master opens for the row, and keeps open while no "
            "process of it runs: inet:HOST:PORT for TCP, unix:PATH for streams, ipc:PATH for the "
            "daemons' own protocol, pipe:NAME for the log. A HOST is an address; PATH lies in "
            "public/ or private/ of the queue directory."
        ),
    ] = ()
    user: Annotated[
        UserName,
        Meta(
            description="Who the processes run as where root runs the master; elsewhere the "
            "master's user runs all."
        ),
    ] = ""
    privileged: Annotated[
        bool,
        Meta(
            description="Whether the user may be root. Of our daemons mailuser alone needs it, to "
            "become the users whose mailboxes these are; what talks to the network must never "
            "have it."
        ),
    ] = False
    numprocs: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Processes that accept clients, at most. As many again may run that "
            "retire, and finish what they have begun.",
        ),
    ] = 1
    min_free: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Processes kept free ahead of demand: 1 spares the first client the time "
            "that a start takes, and costs the memory of an idle process.",
        ),
    ] = 0
    client_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Clients that one process serves at once, at most; 1: one at a time. "
            "numprocs times client_limit is what the row can serve; further clients wait.",
        ),
    ] = 100
    max_use: Annotated[
        int,
        Meta(
            ge=0,
            le=2**31 - 1,
            description="Units of work (sessions, requests) after which a process retires, give or "
            "take a tenth; 0: never.",
        ),
    ] = 5000
    max_idle: Annotated[
        float, _seconds("Idle time after which an on-demand process ends; 0: at once.")
    ] = 100.0
    restart: Annotated[
        Literal["on_demand", "always", "never"],
        Meta(
            description="on_demand: started when a client waits; always: resident, started again "
            "whenever it ends; never: started by an operator only."
        ),
    ] = "on_demand"
    wakeup: Annotated[
        float, _seconds("How often the master wakes the service, or starts it; 0: never.")
    ] = 0.0
    command: Annotated[
        tuple[Argument, ...],
        Meta(description="A program and its arguments to run in place of the daemon's module."),
    ] = ()
    settings: Annotated[
        dict[str, Setting],
        Meta(description="Parameters of main.yml with other values for this row."),
    ] = {}


class Snapshot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration in force under one generation number."""

    version: Literal[1]
    generation: Annotated[int, Meta(ge=1)]
    created: Annotated[float, Meta(ge=0, le=_LAST_TIME)]  # seconds since the epoch
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
            data = file.read(SNAPSHOT_LIMIT + 1)
        if len(data) > SNAPSHOT_LIMIT:
            raise SnapshotError(f"{path}: larger than {SNAPSHOT_LIMIT} octets")
        snapshot = msgspec.json.decode(data, type=Snapshot)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(f"{path}: {error}; run `mta render`") from error
    if snapshot.generation != generation:
        raise SnapshotError(f"{path}: holds generation {snapshot.generation}")
    return snapshot
