"""A whole system in one folder: real supervisord, processes, sockets, files and mail.

instance = new_instance(services={"smtp": {"numprocs": 1}})
instance.start()
with instance.smtp() as client:
    client.greeted().mail("alice@example.org", ["bob@posthouse.test"], MESSAGE)
instance.maildir("bob").only()

Run by root, its daemons have users of their own, as on a host.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from support.dialogue import Dialogue
from support.maildir import Maildir
from support.ports import free_port
from support.processes import Process, kill, processes_in
from support.profile import ROWS
from support.waiting import wait_until

__all__ = ["DOMAIN", "Instance", "NewInstance", "Settings", "separated"]

DOMAIN = "posthouse.test"

Settings = Mapping[str, Any]
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_TAIL = 60  # lines of each log that a failed test shows


def separated() -> bool:
    """Whether daemons have users of their own here: root runs the master."""
    return os.geteuid() == 0


class Instance:
    """Configuration, commands and observations of one system; nothing runs until `start`."""

    def __init__(
        self,
        directory: Path,
        parameters: Settings | None = None,
        services: Settings | None = None,
        profile: str = "hub",
    ) -> None:
        self.directory = directory
        self.profile = profile
        self.config = directory / "etc"
        self.queue = directory / "queue"
        self.mail = directory / "mail"
        self.log_file = directory / "log" / "mail.log"
        self.port = free_port()
        self.python = sys.executable  # what runs the commands, and so the system
        self.parameters: dict[str, Any] = {
            "queue_directory": str(self.queue),
            "log_file": str(self.log_file),
            "myhostname": DOMAIN,
        }
        if profile == "hub":
            self.parameters["virtual_mailbox_domains"] = [DOMAIN]
            self.parameters["virtual_mailbox_base"] = str(self.mail)
        self.services: dict[str, dict[str, Any]] = {}
        if "smtp" in ROWS[profile]:
            self.services["smtp"] = {"listen": [f"inet:127.0.0.1:{self.port}"]}
        for place in (self.config, self.mail):
            place.mkdir(parents=True)
        self.mail.chmod(0o700)
        if separated():
            shutil.chown(self.mail, "vmail", "vmail")
        self.configure(parameters, services)

    # Configuration and commands

    def configure(
        self, parameters: Settings | None = None, services: Settings | None = None
    ) -> None:
        """Write both files anew, with further settings; rows are merged by name."""
        self.parameters.update(parameters or {})
        for name, row in (services or {}).items():
            self.services.setdefault(name, {}).update(row)
        (self.config / "main.yml").write_text(yaml.safe_dump(self.parameters))
        table = {"profile": self.profile, "services": self.services}
        (self.config / "services.yml").write_text(yaml.safe_dump(table))

    def mta(
        self, *arguments: str, succeeds: bool = True, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run one `mta` command, as an operator would, and insist on its end."""
        done = self.try_mta(*arguments, timeout=timeout)
        assert (done.returncode == 0) == succeeds, (
            f"mta {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def try_mta(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run one `mta` command, whatever comes of it."""
        command = [self.python, "-I", "-m", "mta.commands", "-c", str(self.config), *arguments]
        return subprocess.run(
            command,
            cwd="/",
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self) -> None:
        self.mta("start")

    def stop(self) -> None:
        self.mta("stop", timeout=120.0)

    def reload(self) -> None:
        self.mta("reload")

    def restart(self, service: str) -> None:
        self.mta("restart", service)

    def status(self) -> dict[str, Any]:
        """What `mta status --json` says."""
        status: dict[str, Any] = json.loads(self.mta("status", "--json").stdout)
        return status

    def service(self, name: str) -> dict[str, Any]:
        """The row of that name in the status; KeyError if there is none."""
        rows: dict[str, dict[str, Any]] = {row["name"]: row for row in self.status()["services"]}
        return rows[name]

    def wait_status(
        self, predicate: Callable[[dict[str, Any]], bool], what: str, timeout: float = 10.0
    ) -> dict[str, Any]:
        """Ask for the status until `predicate` holds; return it."""

        def look() -> dict[str, Any]:
            status = self.status()
            return status if predicate(status) else {}

        return wait_until(look, what, timeout)

    def wait_service(self, name: str, timeout: float = 10.0, **expected: object) -> dict[str, Any]:
        """Wait until the row shows all the expected values: `wait_service("smtp", running=0)`."""

        def look() -> dict[str, Any]:
            row = self.service(name)
            return row if expected.items() <= row.items() else {}

        return wait_until(look, f"{name} with {expected}", timeout)

    def wait_ready(self, service: str, count: int = 1, timeout: float = 20.0) -> list[int]:
        """Wait until the row has that many processes and all have checked in; their pids."""
        self.wait_service(service, timeout, running=count, state="running")
        return self.pids(service)

    # Mail

    def smtp(self, timeout: float = 10.0, port: int | None = None) -> Dialogue:
        """Connect as a mail client; the greeting is not read yet."""
        return Dialogue("127.0.0.1", port or self.port, timeout)

    def maildir(self, user: str, domain: str = DOMAIN) -> Maildir:
        return Maildir(self.mail / domain / user)

    def queue_files(self, *states: str) -> list[Path]:
        """The queue files in these states, or in all of them."""
        chosen = states or ("incoming", "deferred", "hold", "corrupt")
        return sorted(
            path for state in chosen for path in (self.queue / state).rglob("*") if path.is_file()
        )

    def messages(self, *states: str) -> list[Path]:
        """The complete queue files in these states: not the torsos that a killed writer left."""
        return [path for path in self.queue_files(*states) if _is_complete(path)]

    # Log

    def log_records(self, event: str = "", **fields: object) -> list[dict[str, Any]]:
        """The log's records, in order: those of one event whose fields have these values."""
        if not self.log_file.exists():
            return []
        lines = self.log_file.read_bytes().split(b"\n")[:-1]  # the last one may be half written
        records: list[dict[str, Any]] = [json.loads(line) for line in lines if line]
        return [
            record
            for record in records
            if event in ("", record["event"]) and fields.items() <= record.items()
        ]

    def wait_log(self, event: str, timeout: float = 10.0, **fields: object) -> dict[str, Any]:
        """Wait for a record of that event with these values; return the first."""
        what = f"a log record {event} {fields}"
        return wait_until(lambda: self.log_records(event, **fields), what, timeout)[0]

    # Processes, as /proc shows them

    def processes(self, service: str = "") -> list[Process]:
        """Every process that lives in the queue directory, or those of one row."""
        found = processes_in(self.queue) if self.queue.exists() else []
        return [process for process in found if service in ("", process.service)]

    def pids(self, service: str) -> list[int]:
        return [process.pid for process in self.processes(service)]

    @property
    def supervisord(self) -> Process:
        """The master; AssertionError when it does not run."""
        pid = int((self.queue / "pid" / "supervisord.pid").read_text())
        found = [process for process in self.processes() if process.pid == pid]
        assert found, f"supervisord ({pid}) does not run"
        return found[0]

    def wait_gone(self, timeout: float = 10.0) -> None:
        """Wait until no process of this system is left."""
        wait_until(lambda: not self.processes(), "the end of all processes", timeout)

    # The end

    def close(self) -> None:
        """Stop whatever runs; AssertionError when `mta stop` left a process behind."""
        print(self.story())  # pytest shows it when the test failed
        if not self.processes():
            return
        try:
            if any(not process.service for process in self.processes()):
                self.stop()
            self.wait_gone()
        finally:
            for process in self.processes():
                kill(process)
            self.wait_gone()

    def story(self) -> str:
        """The end of every log: what a reader of a failed test wants first."""
        parts = []
        for path in sorted(self.log_file.parent.rglob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-_TAIL:]
            parts.append("\n".join([f"---- {path.name}", *lines]))
        return "\n".join(parts)


def _is_complete(path: Path) -> bool:
    try:
        return path.stat().st_mode & 0o777 == 0o700
    except FileNotFoundError:
        return False


class NewInstance(Protocol):
    """Make one more system; `directory` is empty or does not exist yet."""

    def __call__(
        self,
        parameters: Settings | None = None,
        services: Settings | None = None,
        *,
        directory: Path | None = None,
        profile: str = "hub",
    ) -> Instance: ...
