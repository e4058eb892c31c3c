"""The daemon's end of the channel, once the loop runs.

The newest packet of a kind takes the place of an older one that could not be sent yet: a master
that does not read costs neither memory nor time, and learns the present state when it reads.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Literal

from mta.master.channel import (
    PACKET_LIMIT,
    Bye,
    ChannelError,
    Command,
    Counters,
    Crossing,
    Packet,
    decode,
    encode,
)
from mta.util.log import Log

__all__ = ["Link"]

_COUNTERS_INTERVAL: Final = 1.0  # seconds


class Link:
    """Tells the master what it must know and passes its commands on; without a master, silent.

    `commanded` is called with a command's name, `orphaned` once when the master is gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: socket.socket | None,
        log: Log,
        commanded: Callable[[str], None],
        orphaned: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._log = log
        self._commanded = commanded
        self._orphaned = orphaned
        self._waiting: dict[type[Packet], Packet] = {}  # by kind, in the order to be sent
        self._last_crossing: Crossing | None = None
        self._clients = self._served = 0
        self._told = Counters(0, 0)
        self._timer: asyncio.TimerHandle | None = None
        self._next_counters = 0.0
        if channel is not None:
            channel.setblocking(False)
            loop.add_reader(channel, self._readable, channel)

    def crossing(self, name: Literal["free", "full"]) -> None:
        """Say that the daemon has a place for a client, or has none; said only when it changes."""
        crossing = Crossing(name)
        if crossing != self._last_crossing:
            self._last_crossing = crossing
            self._send(crossing)

    def counters(self, clients: int, served: int) -> None:
        """Note the counters; they are sent when they changed, at most once a second."""
        self._clients, self._served = clients, served
        if self._timer is None and self._counters != self._told:
            self._timer = self._loop.call_at(
                max(self._loop.time(), self._next_counters), self._send_counters
            )

    def bye(self, reason: str) -> None:
        """Say that nothing more is accepted, and why; counters may still follow."""
        self._send(Bye(reason))

    def last_words(self) -> None:
        """Send the final counters, so that no unit of work is lost to the status."""
        if self._counters != self._told:
            self._send_counters()

    @property
    def _counters(self) -> Counters:
        return Counters(self._clients, self._served)

    def _send_counters(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next_counters = self._loop.time() + _COUNTERS_INTERVAL
        self._told = self._counters
        self._send(self._told)

    def _send(self, packet: Packet) -> None:
        if self._channel is None:
            return
        if not self._waiting:
            self._loop.add_writer(self._channel, self._writable, self._channel)
        self._waiting.pop(type(packet), None)
        self._waiting[type(packet)] = packet
        self._writable(self._channel)

    def _writable(self, channel: socket.socket) -> None:
        while self._waiting:
            kind = next(iter(self._waiting))
            try:
                channel.send(encode(self._waiting[kind]))
            except BlockingIOError:
                return
            except OSError:
                # The reader sees the end of file and acts on it; what is unsent has no addressee.
                self._waiting.clear()
                break
            del self._waiting[kind]
        self._loop.remove_writer(channel)

    def _readable(self, channel: socket.socket) -> None:
        try:
            data = channel.recv(PACKET_LIMIT)
        except BlockingIOError:
            return
        except OSError as error:
            self._log.error("channel_failed", reason=str(error))
            data = b""
        if not data:
            self._loop.remove_reader(channel)
            self._loop.remove_writer(channel)
            self._waiting.clear()
            self._channel = None
            channel.close()
            self._orphaned()
            return
        try:
            packet = decode(data)
        except ChannelError as error:
            self._log.error("channel_garbage", reason=str(error))
            return
        if isinstance(packet, Command):
            self._commanded(packet.name)
        else:
            self._log.error("channel_garbage", reason=f"expected a command, got {packet!r}")
