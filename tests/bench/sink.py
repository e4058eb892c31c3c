"""Where relayed mail goes: Postfix's own smtp-sink, which counts, and a peer that tells the time.

The counting sink is a program of its own, so that taking mail costs the same whoever sends it. The
other one is for single messages: it tells the moment at which the last octet of each arrived.
"""

import asyncio
import os
import queue
import re
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from support.dialogue import Dialogue
from support.waiting import wait_until

from bench.server import BenchError

__all__ = ["CountingSink", "TellingSink", "messages_counted"]

_COUNT: Final = re.compile(rb"mesg=(\d+)")
_BACKLOG: Final = 1024
_TAIL: Final = 200  # octets; one count is a third of that
_LINE_LIMIT: Final = 65536
_MULTILINE_EHLO: Final = b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"


def messages_counted(tail: bytes) -> int:
    """The last count in what smtp-sink -c printed."""
    counts = _COUNT.findall(tail)
    return int(counts[-1]) if counts else 0


class CountingSink:
    """smtp-sink on a port of 127.0.0.1; `count` is how many messages it has taken."""

    def __init__(self, port: int, output: Path) -> None:
        self._port = port
        self._path = output
        self._output: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        address = f"127.0.0.1:{self._port}"
        self._output = self._path.open("w+b")
        self._process = subprocess.Popen(
            ["smtp-sink", "-u", "nobody", "-c", address, str(_BACKLOG)],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd="/",
        )
        wait_until(self._listens, f"smtp-sink on {address}")
        return self

    def _listens(self) -> bool:
        try:
            with Dialogue("127.0.0.1", self._port) as client:
                client.expect(220)
        except OSError:
            return False
        return True

    def count(self) -> int:
        """Messages so far."""
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            return messages_counted(file.read())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
        if self._output is not None:
            self._output.close()


class TellingSink:
    """A small SMTP server in a thread; `arrival` tells when the next message was complete."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._arrivals: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def arrival(self, timeout: float = 30.0) -> float:
        """Wait for the next message; its moment by time.monotonic."""
        try:
            return self._arrivals.get(timeout=timeout)
        except queue.Empty:
            raise BenchError(f"no message reached the sink within {timeout:g} s") from None

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._session, "127.0.0.1", self._port, limit=_LINE_LIMIT
        )
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 sink.test ESMTP\r\n")
            while verb := (await reader.readline()).strip().upper()[:4]:
                match verb:
                    case b"EHLO":
                        writer.write(_MULTILINE_EHLO)
                    case b"DATA":
                        writer.write(b"354 End with .\r\n")
                        await self._content(reader)
                        writer.write(b"250 2.0.0 Ok\r\n")
                    case b"QUIT":
                        writer.write(b"221 2.0.0 Bye\r\n")
                        break
                    case _:
                        writer.write(b"250 2.0.0 Ok\r\n")
        except (ConnectionError, asyncio.CancelledError):
            return  # the client, or the measurement, is over
        finally:
            writer.close()

    async def _content(self, reader: asyncio.StreamReader) -> None:
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                raise ConnectionError("the client closed in the middle of a message")
        self._arrivals.put(time.monotonic())

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise BenchError(f"no sink on port {self._port}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
