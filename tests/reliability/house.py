"""The system under proof, with its neighbours: the next host, a name server, owners of mailboxes.

What lies in a mailbox is taken out of it and entered in the ledger, as an owner would who reads his
mail; what the log says is followed as it is written.
"""

import io
import json
import os
import re
import signal
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from support.dns_server import HEAD, ScriptedDns
from support.instance import DOMAIN, Instance, Settings
from support.waiting import wait_until

from reliability.ledger import Arrival, Ledger
from reliability.message import marks_reported, read_message
from reliability.peer import Peer

__all__ = ["House", "LogFollower", "Record"]

Record = dict[str, Any]

_ZONE: Final = HEAD + "@ IN MX 10 mx\nmx IN A 127.0.0.2\n"
# Everything that waits waits seconds, so that a trial sees the end of it.
_PARAMETERS: Final[Settings] = {
    "minimal_backoff_time": "1s",
    "maximal_backoff_time": "2s",
    "queue_run_delay": "2s",
    "service_throttle_time": "1s",
}
_INTERVAL: Final = 0.02  # seconds between two looks into mailboxes and log
_ROTATED: Final = 3  # files of the log that are read on
_STARTED: Final = re.compile(r"(\d+)\.M(\d+)P")  # of a name in a Maildir


class LogFollower:
    """The mail log, read as it grows and when it is rotated; calls `heard` with each record."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: deque[BinaryIO] = deque()
        self._hearers: list[Callable[[Record], None]] = []

    def tell(self, hearer: Callable[[Record], None]) -> None:
        """Have this function hear each record from now on; it is called by one thread."""
        self._hearers.append(hearer)

    def follow(self) -> None:
        """Read what is new."""
        with suppress(FileNotFoundError):
            self._look_for_another()
        for file in self._files:
            begin = file.tell()
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            file.seek(begin + len(whole))
            for line in whole.splitlines():
                record: Record = json.loads(line)
                for hearer in self._hearers:
                    hearer(record)

    def close(self) -> None:
        """Read no more."""
        while self._files:
            self._files.pop().close()

    def _look_for_another(self) -> None:
        """Open the file of that name if it is another; the last one is written to for a while."""
        if self._files and os.path.samestat(self._path.stat(), os.fstat(self._files[-1].fileno())):
            return
        self._files.append(self._path.open("rb"))
        if len(self._files) > _ROTATED:
            self._files.popleft().close()


class House:
    """One running system; a context, at whose end nothing of it is left."""

    def __init__(
        self,
        folder: Path,
        parameters: Settings | None = None,
        services: Settings | None = None,
    ) -> None:
        self.ledger = Ledger()
        self.crashes: list[float] = []  # when something was killed, seconds since the epoch
        self.attempts: dict[str, list[float]] = defaultdict(list)  # their begins, by queue id
        self._stack = ExitStack()
        self.peer = self._stack.enter_context(Peer(self._taken))
        self.dns = self._stack.enter_context(ScriptedDns(_ZONE))
        neighbours = {"dns_servers": [self.dns.address], "smtp_tcp_port": self.peer.port}
        self.instance = Instance(
            folder / "system", {**_PARAMETERS, **neighbours, **(parameters or {})}, services
        )
        self.log = LogFollower(self.instance.log_file)
        self.log.tell(self._note_attempt)
        self._looking = threading.Lock()
        self._watching = threading.Event()
        self._watcher = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        try:
            self.instance.start()
        except BaseException:
            self._stack.close()
            raise
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watching.set()
        self._watcher.join()
        self.log.close()
        self._stack.callback(self.instance.close)
        with redirect_stdout(io.StringIO()):  # its story is for tests
            self._stack.close()

    # Crashes

    def crash(self, when: float = 0.0) -> None:
        """A process of the system was killed, now if nothing else is said."""
        self.crashes.append(when or time.time())

    def kill_master(self) -> None:
        """SIGKILL for supervisord; returns when its daemons have ended and all runs again."""
        master = self.instance.supervisord
        self.crash()
        os.kill(master.pid, signal.SIGKILL)
        self.restart()

    def restart(self) -> None:
        """Start the system whose master is dead, as an operator would."""
        self.instance.wait_gone(timeout=30.0)
        self.instance.start()

    # The end

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait until all that was acknowledged has arrived and the queue is empty; False if not."""

        def settled() -> bool:
            return not self.ledger.missing() and not self.instance.messages("incoming", "deferred")

        with suppress(AssertionError):
            wait_until(settled, "an empty queue", timeout)
            self._look()
            return True
        return False

    def crash_logs(self) -> dict[str, str]:
        """What daemons wrote to stderr, by file."""
        paths = sorted(self.instance.log_file.parent.rglob("crash-*.log"))
        return {path.name: text for path in paths if (text := path.read_text(errors="replace"))}

    # Mailboxes and log

    def _watch(self) -> None:
        while not self._watching.wait(_INTERVAL):
            self._look()
        self._look()

    def _look(self) -> None:
        with self._looking:
            self.log.follow()
            for path in (self.instance.mail / DOMAIN).glob("*/new/*"):
                self._read(path.parent.parent.name, path)

    def _read(self, box: str, path: Path) -> None:
        try:
            octets = path.read_bytes()
            ended = path.stat().st_mtime
            path.unlink()
        except FileNotFoundError:
            return  # the delivery failed after all, and took it out again
        started = _STARTED.match(path.name)
        began = int(started[1]) + int(started[2]) / 1e6 if started else ended
        seen = read_message(octets)
        if seen is not None:
            arrival = Arrival(began, ended, seen.whole)
            self.ledger.arrive(seen.mark, f"{box}@{DOMAIN}", arrival)
            return
        for mark, recipient in marks_reported(octets):
            self.ledger.arrive(mark, recipient, Arrival(began, ended, whole=True, report=True))

    def _taken(self, mark: str, recipient: str, began: float, ended: float, whole: bool) -> None:
        self.ledger.arrive(mark, recipient, Arrival(began, ended, whole))

    def _note_attempt(self, record: Record) -> None:
        if record["event"] == "active":
            self.attempts[record["queue_id"]].append(record["time"])
