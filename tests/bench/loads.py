"""The experiments that send load: rates, growth, where the CPU goes, and the start.

Load       one kind of traffic
Daemons    which daemon used how much of the CPU
Backlog    the same traffic beside a deferred queue of some size, after a start of its own
"""

import os
import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from support.dialogue import Dialogue
from support.load import message

from bench.experiment import Experiment, Setting
from bench.figures import Figure
from bench.proc import Looks, cpu_seconds, process_tree
from bench.server import BOX_DOMAIN, BenchError, Server
from bench.traffic import ACCEPT_RATE, Traffic, send

__all__ = ["Backlog", "Daemons", "Load"]

_FIRST: Final = Figure("start to the first 250", "s", "less")
_PATIENCE: Final = 120.0  # seconds until the first 250
_WARMING: Final = 20  # messages that start the processes that a burst needs first
_RETRY: Final = 0.005  # seconds
_ENDED: Final = "ended between two looks"


@dataclass(frozen=True, kw_only=True)
class Load(Experiment):
    """One kind of traffic, as fast as it goes."""

    traffic: Traffic

    def prepare(self, server: Server, setting: Setting) -> None:
        send(server, replace(self.traffic, messages=_WARMING, sessions=_WARMING), setting)

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        return send(server, self.traffic, setting).figures()

    def command(self) -> str:
        return " ".join(self.traffic.command(2525))


@dataclass(frozen=True, kw_only=True)
class Daemons(Experiment):
    """CPU a message by daemon: what each process had used when it was last seen."""

    traffic: Traffic

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        names = server.daemons()
        before = {process.pid: process.own for process in process_tree(server.master).values()}
        all_before = cpu_seconds(server.master)
        last: dict[int, float] = {}

        def look() -> None:
            processes = process_tree(server.master).values()
            if any(process.pid not in names for process in processes):
                names.update(server.daemons())
            last.update((process.pid, process.own) for process in processes)

        with Looks(look):
            send(server, self.traffic, setting)
        used: dict[str, float] = {}
        for pid, seconds in last.items():
            name = names.get(pid, _ENDED)
            used[name] = used.get(name, 0.0) + seconds - before.get(pid, 0.0)
        rest = cpu_seconds(server.master) - all_before - sum(used.values())
        used[_ENDED] = used.get(_ENDED, 0.0) + max(0.0, rest)
        return {
            Figure(name, "ms", "less"): seconds * 1000 / self.traffic.messages
            for name, seconds in sorted(used.items(), key=lambda one: -one[1])
        }

    def row(self, figure: Figure) -> str:
        return figure.name


@dataclass(frozen=True, kw_only=True)
class Backlog(Experiment):
    """Start-up and speed beside `size` deferred messages, none of them due."""

    traffic: Traffic

    def prepare(self, server: Server, setting: Setting) -> None:
        server.stop()
        server.fill(self.size)
        os.sync()  # what the disk still has to write would be counted as the backlog's price

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        first = _start_to_first_acknowledgement(server)
        try:
            flow = send(server, self.traffic, setting).figures()
        finally:
            server.stop()
        return {_FIRST: first, **{figure: flow[figure] for figure in flow if figure != ACCEPT_RATE}}

    def finish(self, server: Server, setting: Setting) -> None:
        server.stop()
        server.empty()
        server.start()


def _start_to_first_acknowledgement(server: Server) -> float:
    """Seconds from the start command to the first message on stable storage."""
    failures: list[BenchError] = []

    def start() -> None:
        try:
            server.start()
        except BenchError as error:
            failures.append(error)

    starting = threading.Thread(target=start)
    began = time.monotonic()
    starting.start()
    try:
        while not _is_taken(server.port):
            if failures or time.monotonic() > began + _PATIENCE:
                raise BenchError(f"{server.name} took no mail after its start: {failures}")
            time.sleep(_RETRY)
        return time.monotonic() - began
    finally:
        starting.join()


def _is_taken(port: int) -> bool:
    """Whether one message was acknowledged."""
    try:
        with Dialogue("127.0.0.1", port, _PATIENCE) as client:
            client.greeted("EHLO bench.test")
            client.mail("from@bench.test", [f"first@{BOX_DOMAIN}"], message("first"))
            client.say("QUIT", 221)
    except (OSError, EOFError, AssertionError):
        return False
    return True
