"""The daemon's end of the channel where there is no event loop; otherwise as mta.master.link."""

import select
import socket
from collections.abc import Callable

from mta.master.channel import PACKET_LIMIT, ChannelError, Command, Packet, decode, encode
from mta.master.watch import Watch
from mta.util.log import Log

__all__ = ["PlainLink"]


class PlainLink:
    """Tells the master what it must know, without ever waiting for it, and passes commands on.

    The newest packet of a kind takes the place of an older one that could not be sent yet.
    `commanded` is called with a command's name, `orphaned` once when the master is gone.
    """

    def __init__(
        self,
        channel: socket.socket | None,
        log: Log,
        watch: Watch,
        commanded: Callable[[str], None],
        orphaned: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._log = log
        self._watch = watch
        self._commanded = commanded
        self._orphaned = orphaned
        self._waiting: dict[type[Packet], Packet] = {}  # by kind, in the order to be sent
        if channel is not None:
            channel.setblocking(False)
            watch.add(channel.fileno(), self._ready)

    def say(self, packet: Packet) -> None:
        """Send it now, or as soon as the master reads; without a master, nothing happens."""
        if self._channel is None:
            return
        self._waiting.pop(type(packet), None)
        self._waiting[type(packet)] = packet
        self._send(self._channel)

    def _ready(self) -> None:
        if self._channel is not None and self._waiting:
            self._send(self._channel)
        self._receive()

    def _send(self, channel: socket.socket) -> None:
        while self._waiting:
            kind = next(iter(self._waiting))
            try:
                channel.send(encode(self._waiting[kind]))
            except BlockingIOError:
                break
            except OSError:
                # The reader sees the end of file and acts on it; what is unsent has no addressee.
                self._waiting.clear()
                break
            del self._waiting[kind]
        wanted = select.POLLIN | (select.POLLOUT if self._waiting else 0)
        self._watch.add(channel.fileno(), self._ready, wanted)

    def _receive(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            data = channel.recv(PACKET_LIMIT)
        except BlockingIOError:
            return
        except OSError as error:
            self._log.error("channel_failed", reason=str(error))
            data = b""
        if not data:
            self._watch.remove(channel.fileno())
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
