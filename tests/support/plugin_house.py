"""A real supervisord with the plugin and stub daemons, in a folder of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from support.processes import processes_in
from support.waiting import wait_until

__all__ = ["House", "Row", "Started", "connect", "elapsed", "greeting", "inet"]

_STUB = Path(__file__).with_name("stub_daemon.py")


@dataclass(frozen=True)
class Row:
    """A row of the service table and what its stub does."""

    name: str
    listen: Sequence[str] = ()
    behaviour: str = "serve"
    daemon: str = "smtpd"
    numprocs: int = 1
    min_free: int = 0
    restart: str = "on_demand"
    wakeup: float = 0.0
    command: str = ""

    def snapshot(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "daemon": self.daemon,
            "listen": list(self.listen),
            "user": "",
            "numprocs": self.numprocs,
            "min_free": self.min_free,
            "restart": self.restart,
            "wakeup": self.wakeup,
        }

    def program(self, directory: Path) -> str:
        always = "true" if self.restart == "always" else "false"
        command = self.command or f"{sys.executable} -I {_STUB} {self.behaviour}"
        return f"""
[program:{self.name}]
process_name=%(program_name)s_%(process_num)03d
numprocs={2 * self.numprocs}
command={command}
directory={directory}
autostart={always}
autorestart={always}
startsecs=0
startretries=0
exitcodes=0
stopwaitsecs=2
priority={1 if self.daemon == "log" else 10}
stdout_logfile=NONE
stderr_logfile={directory}/crash.log
"""


@dataclass(frozen=True)
class Started:
    """One start that a stub traced."""

    process: str
    pid: int
    time: float


class House:
    """Write its configuration with `render`, then `start`; `close` leaves nothing behind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.supervisord: subprocess.Popen[bytes] | None = None
        for name in ("config", "pid", "private", "public"):
            (directory / name).mkdir(parents=True)

    def render(
        self,
        *rows: Row,
        generation: int = 1,
        parameters: Mapping[str, float] | None = None,
        supervisord: str = "nodaemon=true",
        extra: str = "",
    ) -> None:
        snapshot = {
            "generation": generation,
            "parameters": {"queue_directory": str(self.directory), **(parameters or {})},
            "services": [row.snapshot() for row in rows],
        }
        config = self.directory / "config"
        (config / f"{generation}.json").write_text(json.dumps(snapshot))
        programs = "".join(row.program(self.directory) for row in rows)
        (config / "supervisord.conf").write_text(f"""
[unix_http_server]
file=/proc/self/cwd/pid/supervisor.sock
chmod=0700
[supervisord]
logfile={self.directory}/supervisord.log
pidfile={self.directory}/pid/supervisord.pid
{supervisord}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = mta.master.plugin:make_supervisor_interface
[rpcinterface:mta]
supervisor.rpcinterface_factory = mta.master.plugin:make_interface
generation = {generation}
{programs}
{extra}
""")

    def launch(
        self, *, python_path: Path | None = None, inherit: socket.socket | None = None
    ) -> subprocess.Popen[bytes]:
        """A supervisord, not waited for."""
        python = [sys.executable] if python_path else [sys.executable, "-I"]
        command = [*python, "-m", "supervisor.supervisord", "-c", "config/supervisord.conf"]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(python_path or "")}
        if inherit is not None:  # as systemd does it: descriptor 3, and the pid of the program
            script = f'exec 3<&{inherit.fileno()}; export LISTEN_PID=$$; exec "$@"'
            command = ["/bin/bash", "-c", script, "sh", *command]
            environment["LISTEN_FDS"] = "1"
        with open(self.directory / "output", "ab") as output:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=() if inherit is None else (inherit.fileno(),),
            )

    def start(
        self, *, python_path: Path | None = None, inherit: socket.socket | None = None
    ) -> None:
        self.supervisord = self.launch(python_path=python_path, inherit=inherit)
        wait_until(self.answers, "supervisord's answer")

    def answers(self) -> bool:
        assert self.supervisord is not None
        assert self.supervisord.poll() is None, self.output()
        try:
            return bool(self.status())
        except (OSError, xmlrpc.client.ProtocolError):
            return False

    @property
    def pid(self) -> int:
        assert self.supervisord is not None
        return self.supervisord.pid

    def close(self) -> None:
        if self.supervisord is not None:
            self.supervisord.kill()
            self.supervisord.wait()
        for process in processes_in(self.directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    # What an operator does and sees.

    def call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - what XML-RPC brings
        """One XML-RPC call; the socket's path is short however long the folder's is."""
        url = f"unix:///proc/{self.pid}/cwd/pid/supervisor.sock"
        transport = SupervisorTransport(None, None, serverurl=url)
        try:
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy, method)(*arguments)
        finally:
            transport.connection.sock.close()  # connected or not
            transport.close()

    def fault(self, method: str, *arguments: object) -> str:
        """The sentence with which a call is refused."""
        try:
            answer = self.call(method, *arguments)
        except xmlrpc.client.Fault as fault:
            return fault.faultString
        raise AssertionError(f"{method} answered {answer!r}")

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("mta.status")
        return answer

    def service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(s for s in self.status()["services"] if s["name"] == name)
        return found

    def wait_state(self, name: str, state: str) -> dict[str, Any]:
        wait_until(lambda: self.service(name)["state"] == state, f"{name} to be {state}")
        return self.service(name)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait_end(self, timeout: float = 20.0) -> int:
        assert self.supervisord is not None
        return self.supervisord.wait(timeout)

    def output(self) -> str:
        """All that supervisord logged or printed."""
        log = self.directory / "supervisord.log"
        return (self.directory / "output").read_text() + (log.read_text() if log.exists() else "")

    def wait_output(self, text: str) -> None:
        wait_until(lambda: text in self.output(), f"the line {text!r}")

    def trace(self, event: str) -> list[Started]:
        """The events of one kind that stubs wrote, in order."""
        path = self.directory / "trace"
        lines = path.read_text().splitlines() if path.exists() else []
        fields = [line.split() for line in lines]
        return [Started(f[1], int(f[2]), float(f[3])) for f in fields if f[0] == event]

    def stubs(self, row: str = "") -> int:
        """Living processes of a row, or of all rows, as the system sees them."""
        found = [p for p in processes_in(self.directory) if p.service]
        return len([p for p in found if not row or p.service == row])


def connect(port: int, timeout: float = 10.0) -> socket.socket:
    """A TCP client; `greeting` reads what it is told."""
    return socket.create_connection(("127.0.0.1", port), timeout)


def greeting(client: socket.socket) -> str:
    """The stub's greeting: "PROCESS GENERATION"."""
    return client.recv(100).decode().strip()


def elapsed(since: float) -> float:
    """Seconds since a monotonic time."""
    return time.monotonic() - since


def inet(port: int) -> str:
    """A listen address on the loopback."""
    return f"inet:127.0.0.1:{port}"
