"""The two ends of the daemons' protocol, played by the test: listeners, rogues, raw peers."""

import asyncio
import errno
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

import msgspec

from mta.ipc.connection import encode
from mta.ipc.messages import FRAME_LIMIT, Message
from mta.util.log import Log

__all__ = [
    "Journal",
    "Listening",
    "RawPeer",
    "Served",
    "blind",
    "out_of_descriptors",
    "soon",
]

DEADLINE = 10.0  # seconds: a test that waits longer has failed


class Served(Protocol):
    """What a server makes of one client."""

    def abort(self) -> None: ...


class Journal:
    """A log that the test can read."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._writer = writer
        self._lines: list[dict[str, Any]] = []
        self.log = Log(writer, "test", "test_000", 1)

    def events(self, event: str) -> list[dict[str, Any]]:
        """All lines of one event so far."""
        try:
            data = os.read(self._reader, 1 << 20)
        except BlockingIOError:
            data = b""
        self._lines += [json.loads(line) for line in data.splitlines()]
        return [line for line in self._lines if line["event"] == event]

    def forget(self) -> None:
        """Drop all lines so far."""
        self.events("")
        self._lines.clear()

    def close(self) -> None:
        """Close both ends."""
        os.close(self._reader)
        os.close(self._writer)


class Listening:
    """A SEQPACKET listener whose clients go to `connect(client, finished)`."""

    def __init__(
        self, path: Path, connect: Callable[[socket.socket, Callable[[], None]], Served]
    ) -> None:
        self.path = str(path)
        self.sessions: list[Served] = []
        self.finished = 0
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._socket.bind(self.path)
        self._socket.listen(64)
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        client, _ = self._socket.accept()
        client.setblocking(False)
        self.sessions.append(self._connect(client, self._count))

    def _count(self) -> None:
        self.finished += 1

    def close(self) -> None:
        """Stop listening and abort what is open."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        os.unlink(self.path)
        for session in self.sessions:
            session.abort()


class RawPeer:
    """A peer that sends what it likes."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.socket.setblocking(False)

    @classmethod
    def connect(cls, path: str) -> "RawPeer":
        """A client of the listener at `path`."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        peer.connect(path)
        return cls(peer)

    def send(self, number: int, body: Message, descriptors: tuple[int, ...] = ()) -> None:
        """Send a well-formed frame."""
        self.send_raw(encode(number, body), descriptors)

    def send_raw(self, data: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send any packet."""
        if descriptors:
            socket.send_fds(self.socket, [data], list(descriptors))
        else:
            self.socket.send(data)

    async def hear_raw(self) -> bytes:
        """The next packet, or nothing at the end."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return self.socket.recv(FRAME_LIMIT + 1)
            except ConnectionResetError:
                continue
            except BlockingIOError:
                pass
            ready = asyncio.Event()
            loop.add_reader(self.socket, ready.set)
            try:
                await asyncio.wait_for(ready.wait(), DEADLINE)
            finally:
                loop.remove_reader(self.socket)

    async def hear(self, kind: object) -> tuple[int, Any]:
        """The next frame: its number and body."""
        data = await self.hear_raw()
        version, number, body = msgspec.msgpack.decode(data, type=tuple[int, int, msgspec.Raw])
        assert version == 1
        return number, msgspec.msgpack.decode(body, type=kind)

    def finish_sending(self) -> None:
        """Say that nothing more will come."""
        self.socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Close."""
        self.socket.close()


async def soon(look: Callable[[], object]) -> None:
    """Let the loop run until `look` is true."""
    async with asyncio.timeout(DEADLINE):
        while not look():  # noqa: ASYNC110 - what is looked at is not always an event of the loop
            await asyncio.sleep(0.001)


def out_of_descriptors(*_: object) -> NoReturn:
    """Stand in for a call that needs a descriptor."""
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def blind(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    """The loop, but it cannot watch any further descriptor."""

    class Blind:
        add_reader = staticmethod(out_of_descriptors)

        def __getattr__(self, name: str) -> object:
            return getattr(loop, name)

    return cast("asyncio.AbstractEventLoop", Blind())
