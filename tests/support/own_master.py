"""The master's side of one real daemon process, played by the test."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from mta.config.snapshot import Snapshot
from mta.master.channel import (
    PACKET_LIMIT,
    Bye,
    Checkin,
    Command,
    Counters,
    Crossing,
    Packet,
    decode,
    encode,
    pair,
)

__all__ = ["DaemonProcess", "listen_tcp", "write_snapshot"]

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def write_snapshot(
    directory: Path,
    row: Mapping[str, object] | None = None,
    *,
    generation: int = 1,
    parameters: Mapping[str, object] | None = None,
) -> Snapshot:
    """Write a generation with one row, whose fields `row` overrides, as `config/N.json`."""
    service: dict[str, object] = {
        "name": "tiny",
        "daemon": "tiny_daemon",
        "listen": (),
        "user": "",
        "privileged": False,
        "numprocs": 1,
        "min_free": 0,
        "client_limit": 10,
        "max_use": 0,
        "max_idle": 100.0,
        "restart": "on_demand",
        "wakeup": 0.0,
        "command": (),
        "settings": {},
    }
    values: dict[str, object] = {
        "queue_directory": str(directory),
        "log_file": str(directory / "log" / "mail.log"),
        "myhostname": "posthouse.test",
    }
    fields = {
        "version": 1,
        "generation": generation,
        "created": time.time(),
        "profile": "hub",
        "python": sys.executable,
        "parameters": {**values, **(parameters or {})},
        "services": [{**service, **(row or {})}],
    }
    snapshot = msgspec.convert(fields, Snapshot)
    (directory / "config").mkdir(exist_ok=True)
    (directory / "log").mkdir(exist_ok=True)
    (directory / "config" / f"{generation}.json").write_bytes(msgspec.json.encode(snapshot))
    return snapshot


def listen_tcp() -> socket.socket:
    """A listener on a free port of the loopback."""
    return socket.create_server(("127.0.0.1", 0), backlog=128)


class DaemonProcess:
    """One daemon that runs `command` in `directory` and takes this object for its master.

    `listeners` are listen addresses and what they are bound to; None of them is closed here. The
    log is a pipe; all packets and log lines that came are kept for the test to look at.
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        listeners: Sequence[tuple[str, int]] = (),
        *,
        service: str = "tiny",
        generation: int = 1,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.packets: list[Packet] = []
        self.channel, theirs = pair()
        self.channel.setblocking(True)
        self._log_reader, log_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._log_data = b""
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", *command],
                cwd=directory,
                env=_ENVIRONMENT | (environment or {}),
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        names = tuple(name for name, _ in listeners)
        checkin = Checkin(generation, service, f"{service}_000", names, log=True)
        descriptors = [log_writer, *(descriptor for _, descriptor in listeners)]
        socket.send_fds(self.channel, [encode(checkin)], descriptors)
        os.close(log_writer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        os.close(self._log_reader)

    def tell(self, command: Command) -> None:
        """Send a command."""
        self.channel.send(encode(command))

    def hear(self, timeout: float = 10.0) -> Packet:
        """The next packet; TimeoutError if none comes, EOFError at the end."""
        self.channel.settimeout(timeout)
        data = self.channel.recv(PACKET_LIMIT)
        if not data:
            raise EOFError("the daemon closed its channel")
        packet = decode(data)
        self.packets.append(packet)
        return packet

    def hear_until(self, expected: Packet, timeout: float = 10.0) -> None:
        """Wait for this packet; others are only kept."""
        deadline = time.monotonic() + timeout
        while self.hear(max(0.01, deadline - time.monotonic())) != expected:
            pass

    def hear_rest(self) -> None:
        """Keep what is still to be read."""
        with contextlib.suppress(EOFError, TimeoutError, ConnectionResetError):
            while True:
                self.hear(0.05)

    def of_kind(self, kind: type[Crossing | Counters | Bye]) -> list[Packet]:
        """The packets of one kind that were heard."""
        return [packet for packet in self.packets if isinstance(packet, kind)]

    def ended(self, timeout: float = 10.0) -> int:
        """Wait for the end; the exit status."""
        return self.process.wait(timeout)

    def log(self) -> list[dict[str, Any]]:
        """All log lines so far."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._log_reader, 1 << 20):
                self._log_data += data
        return [json.loads(line) for line in self._log_data.splitlines()]

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        return [line for line in self.log() if line["event"] == event]

    def cpu_seconds(self) -> float:
        """Processor time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(os.sysconf("SC_CLK_TCK"))
        return (int(fields[11]) + int(fields[12])) / ticks
