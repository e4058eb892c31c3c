"""What the rendered configuration, the commands and the master's plugin must agree on.

Paths are relative to the queue directory. Standard library only: the Supervisor plugin, which may
be root, imports this.
"""

import enum
from collections.abc import Iterable
from typing import Final

from mta.util.listen import InetAddress, ListenAddress, PipeAddress

__all__ = [
    "MASTER_LOCK",
    "MASTER_LOGS",
    "MASTER_SOCKET",
    "PICKUP_LOCK",
    "QMGR_LOCK",
    "RELOAD_PROGRAM",
    "Stage",
    "stage_of",
]

MASTER_LOCK: Final = "pid/master.lock"
MASTER_SOCKET: Final = "pid/supervisor.sock"
QMGR_LOCK: Final = "pid/qmgr.lock"
PICKUP_LOCK: Final = "pid/pickup.lock"
# Beside the mail log, whose folder others may write: what the master and dying daemons say.
MASTER_LOGS: Final = "master"
# A program of supervisord.conf beside the rows; it runs `mta reload` when the master has SIGHUP.
RELOAD_PROGRAM: Final = "reload_"


class Stage(enum.IntEnum):
    """When a row ends: the highest first. The numbers are Supervisor's priorities, too."""

    LOG = 100  # whoever reads a pipe, for all others write to it
    SERVICES = 600
    AGENTS = 700
    SCHEDULER = 800
    DOOR = 900  # who takes mail in


_STAGES: Final = {
    **dict.fromkeys(("smtpd", "postscreen", "pickup"), Stage.DOOR),
    "qmgr": Stage.SCHEDULER,
    **dict.fromkeys(("virtual", "local", "smtp", "lmtp", "pipe", "error", "discard"), Stage.AGENTS),
    "log": Stage.LOG,
}


def stage_of(daemon: str, listen: Iterable[ListenAddress]) -> Stage:
    """The stage in which a row of that daemon ends; an inet listener makes any row a door."""
    addresses = tuple(listen)
    if any(isinstance(address, InetAddress) for address in addresses):
        return Stage.DOOR
    if any(isinstance(address, PipeAddress) for address in addresses):
        return Stage.LOG
    return _STAGES.get(daemon, Stage.SERVICES)
