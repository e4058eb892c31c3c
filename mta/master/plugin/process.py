"""A process of a row: Supervisor's own, with a channel on fd 0 and a gate before every start.

Supervisor calls `spawn`, `stop` and `finish` from its unguarded loop, where an exception ends the
master; so these only decide yes or no, record, and leave the rest to the pass.
"""

import os
import socket
import traceback
from typing import Final, Protocol

from supervisor.options import decode_wait_status
from supervisor.process import Subprocess
from supervisor.states import ProcessStates

from mta.master.channel import (
    CHANNEL_DESCRIPTOR,
    PACKET_LIMIT,
    Bye,
    ChannelError,
    Counters,
    Crossing,
    decode,
    pair,
)
from mta.master.plugin.seam import Group, SlotConfig

__all__ = ["ChannelDispatcher", "Keeper", "ServiceProcess"]

_PACKETS_A_READ: Final = 64  # a flood may not hold up the loop
_STARTABLE: Final = (
    ProcessStates.STOPPED,
    ProcessStates.EXITED,
    ProcessStates.FATAL,
    ProcessStates.BACKOFF,
)


class Keeper(Protocol):
    """What a process tells its master, and asks it. None of these may raise."""

    def may_spawn(self, process: "ServiceProcess") -> bool:
        """Whether the process may start now."""

    def spawned(self, process: "ServiceProcess") -> None:
        """The process exists and waits for its check-in packet."""

    def spawn_failed(self, process: "ServiceProcess", reason: str) -> None:
        """The process could not be created."""

    def heard(self, process: "ServiceProcess", packet: Crossing | Counters | Bye) -> None:
        """A packet came over the channel."""

    def distrusted(self, process: "ServiceProcess", reason: str) -> None:
        """What came over the channel was no packet of the pact; the channel is closed."""

    def stopping(self, process: "ServiceProcess") -> None:
        """An operator stops the process."""

    def exited(self, process: "ServiceProcess", status: int, text: str) -> None:
        """The process is gone; `status` is -1 for a signal."""


class ServiceProcess(Subprocess):  # type: ignore[misc]
    """One slot of a row."""

    def __init__(self, config: SlotConfig, group: Group, keeper: Keeper) -> None:
        super().__init__(config)
        self.group = group
        self.row: str = group.config.name
        self.surplus = False  # the table has no such slot any more
        self._keeper = keeper
        self._channel: socket.socket | None = None
        self._theirs: socket.socket | None = None

    @property
    def name(self) -> str:
        """Supervisor's name of the process."""
        return str(self.config.name)

    @property
    def startable(self) -> bool:
        """Whether the slot is free."""
        return not self.pid and not self.surplus and self.state in _STARTABLE

    def spawn(self) -> int | None:
        """Start, if the gate is open; whoever asks for a refused start hears nothing."""
        if not self.startable or not self._keeper.may_spawn(self):
            return None
        try:
            ours, self._theirs = pair()
        except OSError as error:
            self._keeper.spawn_failed(self, f"no channel: {error.strerror}")
            return None
        pid: int | None = super().spawn()
        self._theirs.close()
        self._theirs = None
        if pid is None:
            ours.close()
            self._keeper.spawn_failed(self, str(self.spawnerr))
            return None
        self._channel = ours
        self.dispatchers[ours.fileno()] = ChannelDispatcher(self, ours, self._keeper)
        self._keeper.spawned(self)
        return pid

    def send(self, packet: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send one packet, never waiting; OSError if the process is gone or does not read."""
        if self._channel is None:
            raise BrokenPipeError("the channel is closed")
        socket.send_fds(self._channel, [packet], list(descriptors))

    def stop(self) -> str | None:
        """End the process for an operator, or for Supervisor's shutdown."""
        self._keeper.stopping(self)
        answer: str | None = super().stop()
        return answer

    def finish(self, pid: int, status: int) -> None:
        """The process was reaped: its last words are read before it is reported gone."""
        super().finish(pid, status)
        self.close_channel()
        code, text = decode_wait_status(status)
        self._keeper.exited(self, code, text)

    def close_channel(self) -> None:
        """Close our end: the daemon, if it lives, takes the master for gone and ends."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _prepare_child_fds(self) -> None:
        """In the child: the channel is fd 0, the pipes of Supervisor are 1 and 2."""
        options = self.config.options
        assert self._theirs is not None
        options.dup2(self._theirs.fileno(), CHANNEL_DESCRIPTOR)
        options.dup2(self.pipes["child_stdout"], 1)
        errors = "child_stdout" if self.config.redirect_stderr else "child_stderr"
        options.dup2(self.pipes[errors], 2)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))


class ChannelDispatcher:
    """Reads the channel of one process in Supervisor's loop."""

    def __init__(self, process: ServiceProcess, channel: socket.socket, keeper: Keeper) -> None:
        self._process = process
        self._channel = channel
        self._keeper = keeper
        self._closed = False

    def readable(self) -> bool:
        """Whether Supervisor shall poll for reading."""
        return not self._closed

    def writable(self) -> bool:
        """Packets are sent at once or not at all."""
        return False

    def handle_read_event(self) -> None:
        """Record all packets that are there."""
        for _ in range(_PACKETS_A_READ):
            if self._closed:
                return
            try:
                data = self._channel.recv(PACKET_LIMIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # it ended without reading our last command; its own words follow
            except OSError:
                data = b""
            if data:
                self._take(data)
            else:
                self._closed = True

    def _take(self, data: bytes) -> None:
        try:
            packet = decode(data)
        except ChannelError as error:
            self._distrust(str(error))
            return
        if isinstance(packet, Crossing | Counters | Bye):
            self._keeper.heard(self._process, packet)
        else:
            self._distrust(f"a daemon does not send {packet!r}")

    def _distrust(self, reason: str) -> None:
        self._closed = True
        self._process.close_channel()
        self._keeper.distrusted(self._process, reason)

    def handle_error(self) -> None:
        """Supervisor caught an exception of ours: this channel is given up, the loop goes on."""
        self._distrust(traceback.format_exc())
