"""Load from smtp-source, through a server: how fast it is taken and arrives, and what it costs.

accept rate       messages a second until smtp-source has its last 250
end-to-end rate   messages a second until the sink (or the mailbox) holds every message
CPU a message     of the server's whole process tree, until then
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bench.experiment import Setting
from bench.figures import Figure
from bench.proc import cpu_seconds
from bench.server import BOX_DOMAIN, SINK_DOMAIN, BenchError, Server, wait_empty
from bench.sink import CountingSink

__all__ = ["ACCEPT_RATE", "CPU", "END_TO_END_RATE", "Flow", "Traffic", "send"]

ACCEPT_RATE: Final = Figure("accept rate", "messages/s", "more")
END_TO_END_RATE: Final = Figure("end-to-end rate", "messages/s", "more")
CPU: Final = Figure("CPU a message", "ms", "less")

_LOOK: Final = 0.02  # seconds between two looks at the sink
# Seconds for sending, and again until all has arrived: more than a queue manager's longest pause.
_PATIENCE: Final = 90.0


@dataclass(frozen=True)
class Traffic:
    """What one run of smtp-source sends."""

    messages: int
    sessions: int
    size: int = 4000  # octets
    keep: bool = False  # many messages a connection
    recipients: int = 1
    domain: str = SINK_DOMAIN

    def command(self, port: int) -> list[str]:
        """The command that sends it to a port of 127.0.0.1."""
        options = ["-s", str(self.sessions), "-l", str(self.size), "-m", str(self.messages)]
        if self.keep:
            options.append("-d")
        if self.recipients > 1:
            options += ["-r", str(self.recipients)]
        addresses = ["-f", "from@bench.test", "-t", f"to@{self.domain}"]
        return ["smtp-source", *options, *addresses, f"127.0.0.1:{port}"]


@dataclass(frozen=True)
class Flow:
    """What one run showed; times in seconds."""

    messages: int
    accepted: float
    arrived: float
    cpu: float

    def figures(self) -> dict[Figure, float]:
        """The figures of the contract."""
        return {
            ACCEPT_RATE: self.messages / self.accepted,
            END_TO_END_RATE: self.messages / self.arrived,
            CPU: self.cpu * 1000 / self.messages,
        }


def send(server: Server, traffic: Traffic, setting: Setting) -> Flow:
    """Send it and wait until all has arrived; BenchError when it does not."""
    with _destination(server, traffic, setting) as arrived:
        cpu = cpu_seconds(server.master)
        began = time.monotonic()
        _run(traffic.command(server.port))
        accepted = time.monotonic()
        while (count := arrived()) < traffic.messages:
            if time.monotonic() > accepted + _PATIENCE:
                raise BenchError(f"{count} of {traffic.messages} messages arrived")
            time.sleep(_LOOK)
        ended = time.monotonic()
    flow = Flow(traffic.messages, accepted - began, ended - began, cpu_seconds(server.master) - cpu)
    wait_empty(server)
    return flow


@contextmanager
def _destination(server: Server, traffic: Traffic, setting: Setting) -> Iterator[Callable[[], int]]:
    """Where the traffic goes, as a function that counts what has arrived."""
    if traffic.domain != BOX_DOMAIN:
        with CountingSink(setting.sink, setting.scratch / "sink.txt") as sink:
            yield sink.count
        return
    new = server.maildir() / "new"
    for delivered in new.glob("*"):
        delivered.unlink()
    yield lambda: len(os.listdir(new)) if new.exists() else 0


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{' '.join(command)}: not done within {_PATIENCE:g} s") from error
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')[:500]}")
