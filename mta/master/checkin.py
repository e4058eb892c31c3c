"""Check-in: how a new process learns what it is. Blocking, with a deadline, before all else.

    under the master   fd 0 is a SEQPACKET socket; its first packet is a Checkin with descriptors
    --stdio            one client on stdin and stdout; --generation N [--service ROW]
    LISTEN_FDS         listeners of systemd (sd_listen_fds(3)); --generation N --service ROW

What came over the channel is checked like any other gossip: a descriptor that is not what its
name says is refused here, not found out in the loop.
"""

import getopt
import os
import socket
import stat
from collections.abc import MutableMapping, Sequence
from typing import Final

from msgspec import Struct

from mta.master.channel import (
    CHANNEL_DESCRIPTOR,
    PACKET_LIMIT,
    ChannelError,
    Checkin,
    decode,
)
from mta.util.listen import InetAddress, PipeAddress, SocketPath, parse_listen

__all__ = ["Birth", "CheckinError", "Listener", "check_in", "receive_checkin"]

DEADLINE: Final = 10.0  # seconds
STDERR: Final = 2
_LISTENERS_LIMIT: Final = 64
_FIRST_PASSED: Final = 3  # SD_LISTEN_FDS_START


class CheckinError(Exception):
    """The process was not told, or not told properly, what it is."""


class Listener(Struct, frozen=True):
    """A listening socket or the reading end of a pipe; `name` is its address in the table."""

    name: str
    descriptor: int

    @property
    def is_pipe(self) -> bool:
        """Whether it is read, not accepted from."""
        return self.name.startswith("pipe:")


class Birth(Struct, frozen=True, kw_only=True):
    """What a process is, and what it was given; all descriptors are close-on-exec."""

    generation: int
    service: str  # empty with --stdio: the row of the daemon's name
    process: str
    log: int = STDERR
    listeners: tuple[Listener, ...] = ()
    channel: socket.socket | None = None
    stdio: bool = False


def check_in(arguments: Sequence[str], environment: MutableMapping[str, str]) -> Birth:
    """Learn what this process is; `arguments` are without the program's name.

    CheckinError says what is missing or wrong. The variables of systemd are removed, for no child
    may believe in them.
    """
    try:
        options = dict(getopt.getopt(list(arguments), "", ["stdio", "generation=", "service="])[0])
        generation = int(options.get("--generation", "0"))
    except (getopt.GetoptError, ValueError) as error:
        raise CheckinError(f"usage: --stdio --generation N [--service ROW]: {error}") from error
    service = options.get("--service", "")
    passed = {name: environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS")}
    if "--stdio" in options:
        _require(generation > 0, "--stdio needs --generation N")
        return Birth(generation=generation, service=service, process="stdio", stdio=True)
    if passed["LISTEN_PID"] == str(os.getpid()):
        _require(generation > 0 and service != "", "LISTEN_FDS needs --generation N --service ROW")
        listeners = _passed_listeners(passed["LISTEN_FDS"])
        return Birth(generation=generation, service=service, process=service, listeners=listeners)
    return receive_checkin(_take_channel())


def receive_checkin(channel: socket.socket, deadline: float = DEADLINE) -> Birth:
    """Receive the master's first packet; CheckinError if it is late or wrong."""
    channel.settimeout(deadline)
    try:
        data, descriptors, flags, _ = socket.recv_fds(channel, PACKET_LIMIT, _LISTENERS_LIMIT + 1)
    except OSError as error:
        raise CheckinError(f"no check-in within {deadline:g} s: {error}") from error
    for descriptor in descriptors:  # recv_fds ignores its flags, MSG_CMSG_CLOEXEC among them
        os.set_inheritable(descriptor, False)
    try:
        _require(data != b"", "the master is gone")
        _require(not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), "the check-in is cut off")
        packet = decode(data)
        if not isinstance(packet, Checkin):
            raise CheckinError(f"expected a check-in, got {packet!r}")
        expected = len(packet.listeners) + packet.log
        _require(
            len(descriptors) == expected,
            f"expected {expected} descriptors, got {len(descriptors)}",
        )
        names = iter(descriptors)
        log = next(names) if packet.log else STDERR
        listeners = tuple(map(Listener, packet.listeners, names))
        for listener in listeners:
            _verify(listener)
    except (CheckinError, ChannelError) as error:
        for descriptor in descriptors:
            os.close(descriptor)
        raise CheckinError(str(error)) from error
    return Birth(
        generation=packet.generation,
        service=packet.service,
        process=packet.process,
        log=log,
        listeners=listeners,
        channel=channel,
    )


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise CheckinError(otherwise)


def _take_channel() -> socket.socket:
    """Move the channel off fd 0, where a child or a careless read would meet it."""
    try:
        channel = socket.socket(fileno=os.dup(CHANNEL_DESCRIPTOR))
    except OSError as error:
        raise CheckinError("fd 0 is no channel: use --stdio --generation N") from error
    if channel.family != socket.AF_UNIX or channel.type != socket.SOCK_SEQPACKET:
        channel.close()
        raise CheckinError("fd 0 is no channel: use --stdio --generation N")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, CHANNEL_DESCRIPTOR)
    os.close(null)
    return channel


def _verify(listener: Listener) -> None:
    """Check that the descriptor is what its name says; the kinds need different system calls."""
    try:
        address = parse_listen(listener.name)
    except ValueError as error:
        raise CheckinError(f"listener {listener.name!r}: {error}") from error
    match address:
        case PipeAddress():
            proper = stat.S_ISFIFO(os.fstat(listener.descriptor).st_mode)
        case InetAddress():
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            proper = _is_listening(listener.descriptor, family, socket.SOCK_STREAM)
        case SocketPath("unix"):
            proper = _is_listening(listener.descriptor, socket.AF_UNIX, socket.SOCK_STREAM)
        case SocketPath():
            proper = _is_listening(listener.descriptor, socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _require(proper, f"the descriptor of {listener.name} is something else")


def _is_listening(descriptor: int, family: int, kind: int) -> bool:
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return False
    with socket.socket(fileno=os.dup(descriptor)) as probe:
        listens = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return bool(listens) and (probe.family, probe.type) == (family, kind)


def _passed_listeners(count: str) -> tuple[Listener, ...]:
    """Name the sockets that systemd passed by the addresses that they are bound to."""
    try:
        descriptors = range(_FIRST_PASSED, _FIRST_PASSED + int(count))
        _require(0 < len(descriptors) <= _LISTENERS_LIMIT, "LISTEN_FDS is out of bounds")
        listeners = tuple(Listener(_bound_to(number), number) for number in descriptors)
    except (OSError, ValueError) as error:
        raise CheckinError(f"LISTEN_FDS={count!r}: {error}") from error
    for listener in listeners:
        _verify(listener)
        os.set_inheritable(listener.descriptor, False)
    return listeners


def _bound_to(descriptor: int) -> str:
    with socket.socket(fileno=os.dup(descriptor)) as probe:
        address = probe.getsockname()
        if probe.family == socket.AF_UNIX:
            kind = "ipc" if probe.type == socket.SOCK_SEQPACKET else "unix"
            return f"{kind}:{os.path.relpath(address)}"
        return str(InetAddress(address[0], address[1]))
