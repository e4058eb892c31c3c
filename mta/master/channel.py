"""The pact between the master and a daemon: JSON packets on the SEQPACKET pair that is fd 0.

    master -> daemon   checkin (first packet, descriptors attached), commands: retire, expire, wake
    daemon -> master   free, full, counters, bye

The master says nothing per client and neither does the daemon: `free` and `full` are sent when a
daemon crosses its client limit, `counters` at most once a second, `bye` once. The first `free`
means that the daemon is ready. End of file on the daemon's side means that the master is gone.

Standard library only: the Supervisor plugin, which may be root, imports this. Named tuples, for
daemons import it too: a dataclass takes six times as long to make, and a client waits for it.
"""

import json
import socket
from typing import Any, Final, Literal, NamedTuple

__all__ = [
    "CHANNEL_DESCRIPTOR",
    "PACKET_LIMIT",
    "Bye",
    "ChannelError",
    "Checkin",
    "Command",
    "Counters",
    "Crossing",
    "Packet",
    "decode",
    "encode",
    "pair",
]

CHANNEL_DESCRIPTOR: Final = 0
PACKET_LIMIT: Final = 32768  # octets
VERSION: Final = 1


class ChannelError(Exception):
    """A packet that does not follow the pact."""


class Checkin(NamedTuple):
    """What a daemon is told at birth; its descriptors follow in the order [log,] listeners."""

    generation: int
    service: str  # the row's name
    process: str  # Supervisor's process name
    listeners: tuple[str, ...]  # listen addresses as in the table (mta.util.listen)
    log: bool  # whether a log descriptor precedes the listeners


class Command(NamedTuple):
    """An order of the master.

    `retire`: accept nothing more, finish, end. `expire`: from now on also end sessions between
    transactions. `wake`: look for work.
    """

    name: Literal["retire", "expire", "wake"]


class Crossing(NamedTuple):
    """The daemon crossed its client limit, downwards (`free`) or upwards (`full`)."""

    name: Literal["free", "full"]


class Counters(NamedTuple):
    """Clients connected now, and units of work served since birth."""

    clients: int
    served: int


class Bye(NamedTuple):
    """The daemon ends by its own will; `reason` is idle, max_use, retired or failed."""

    reason: str


Packet = Checkin | Command | Crossing | Counters | Bye

_TYPES: Final[dict[str, type[Any]]] = {
    "checkin": Checkin,
    "command": Command,
    "crossing": Crossing,
    "counters": Counters,
    "bye": Bye,
}
_NAMES: Final = {kind: name for name, kind in _TYPES.items()}


def encode(packet: Packet) -> bytes:
    """Serialize one packet."""
    body = {"version": VERSION, "type": _NAMES[type(packet)], **packet._asdict()}
    return json.dumps(body, separators=(",", ":")).encode()


def decode(data: bytes) -> Packet:
    """Parse one packet; ChannelError on anything that the pact does not have."""
    try:
        body = json.loads(data)
        if not isinstance(body, dict) or body.pop("version", None) != VERSION:
            raise ChannelError(f"not a version {VERSION} packet: {data[:80]!r}")
        kind = _TYPES[body.pop("type")]
        if isinstance(body.get("listeners"), list):
            body["listeners"] = tuple(body["listeners"])
        packet: Packet = kind(**body)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ChannelError(f"malformed packet {data[:80]!r}: {error}") from error
    if not _well_typed(packet):
        raise ChannelError(f"a field has a wrong type: {packet!r}"[:200])
    return packet


def _well_typed(packet: object) -> bool:
    match packet:
        case Checkin(int(), str(), str(), tuple() as listeners, bool()):
            return all(isinstance(name, str) for name in listeners)
        case Command("retire" | "expire" | "wake") | Crossing("free" | "full") | Bye(str()):
            return True
        case Counters(int() as clients, int() as served):
            return clients >= 0 and served >= 0
        case _:
            return False


def pair() -> tuple[socket.socket, socket.socket]:
    """A new channel: the master's end (non-blocking) and the daemon's end (blocking)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs
