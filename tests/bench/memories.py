"""How much memory a server holds: idle, under load, and for each client that says nothing.

All is PSS: a page that several processes share is divided among them, so that sums are true.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from support.waiting import wait_until

from bench.experiment import Experiment, Setting
from bench.figures import Figure
from bench.proc import Looks, memory
from bench.server import BenchError, Server
from bench.traffic import Traffic, send

__all__ = ["IdleMemory", "IdleSessions", "LoadMemory"]

_MEBIBYTE: Final = 1024 * 1024
_RESIDENT: Final = ("master", "qmgr", "log", "pickup")
_LOOK: Final = 0.5  # seconds: each look costs milliseconds
_SETTLED: Final = 3.0  # seconds in which no further client is greeted
_LONGEST: Final = 30.0  # seconds


@dataclass(frozen=True, kw_only=True)
class IdleMemory(Experiment):
    """What a freshly started system holds that has seen no mail."""

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        del setting
        server.stop()
        server.start()
        wait_until(lambda: "qmgr" in server.daemons().values(), f"{server.name}'s qmgr")
        daemons = server.daemons()
        resident = [pid for pid, name in daemons.items() if name in _RESIDENT]
        return {
            Figure("idle, resident daemons", "MiB", "less"): memory(resident) / _MEBIBYTE,
            Figure("idle, all processes", "MiB", "less"): memory(daemons) / _MEBIBYTE,
            Figure("idle, processes", "", "less"): float(len(daemons)),
        }


@dataclass(frozen=True, kw_only=True)
class LoadMemory(Experiment):
    """The most that all processes held while mail flowed."""

    traffic: Traffic

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        most: list[tuple[int, int]] = []

        def look() -> None:
            pids = server.daemons()
            most.append((memory(pids), len(pids)))

        with Looks(look, _LOOK):
            send(server, self.traffic, setting)
        octets, processes = max(most)
        return {
            Figure("under load, all processes", "MiB", "less"): octets / _MEBIBYTE,
            Figure("under load, processes", "", "less"): float(processes),
        }


@dataclass(frozen=True, kw_only=True)
class IdleSessions(Experiment):
    """`size` clients connect, say EHLO, and then nothing."""

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        del setting
        server.end_listeners()
        before = memory(server.daemons())
        served, octets = asyncio.run(self._hold(server))
        if not served:
            raise BenchError(f"{server.name} greeted no client")
        return {
            Figure("sessions served at once", "", "more"): float(served),
            Figure("memory a session", "KiB", "less"): (octets - before) / served / 1024,
        }

    async def _hold(self, server: Server) -> tuple[int, int]:
        """How many clients were greeted, and the octets that the server held meanwhile."""
        clients = _Clients(server.port)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(clients.stay()) for _ in range(self.size)]
            await clients.settle(self.size)
            octets = await asyncio.to_thread(lambda: memory(server.daemons()))
            for task in tasks:
                task.cancel()
        return clients.greeted, octets


class _Clients:
    """Clients that were greeted, and when the last of them was."""

    def __init__(self, port: int) -> None:
        self.greeted = 0
        self._port = port
        self._changed = time.monotonic()

    async def stay(self) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return  # a server that is full may refuse: the client counts as not served
        try:
            await reader.readline()
            writer.write(b"EHLO bench.test\r\n")
            if await reader.readline():
                self.greeted += 1
                self._changed = time.monotonic()
            await reader.read()
        except ConnectionError:
            return
        finally:
            writer.close()

    async def settle(self, expected: int) -> None:
        """Wait until all are greeted, or nobody else has been for some seconds."""
        deadline = time.monotonic() + _LONGEST
        while self.greeted < expected and time.monotonic() < deadline:
            if time.monotonic() > self._changed + _SETTLED:
                return
            await asyncio.sleep(0.05)
