"""The place of a long run: the house, what was done to it, and what was found wrong on the way."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

from support.dialogue import Dialogue
from support.processes import Process, kill
from support.tracing import Fault, Trace
from support.waiting import wait_until

from reliability.house import House
from reliability.soak.logbook import Struck
from reliability.soak.rest import MASTER

__all__ = ["Scene"]

# What `mta queue` may answer while mail moves: done, gone meanwhile, refused, busy (sysexits.h).
_FAIR: Final = (0, 66, 69, 75)
_HITS: Final = 3  # calls that failed are enough


@dataclass
class Scene:
    """What disturbances share."""

    house: House
    source: random.Random
    folder: Path  # for what strace writes
    seconds: float  # how long a lasting disturbance lasts
    kills: list[Struck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    successors: dict[str, str] = field(default_factory=dict)  # ids of messages queued anew
    idle: list[Dialogue] = field(default_factory=list)  # clients that are there and say nothing
    changes: int = 0  # of the configuration, and of the log file
    _traces: int = 0

    def linger(self) -> None:
        """Let what has been done have its time."""
        time.sleep(self.seconds)

    def operate(self, *arguments: str, fair: tuple[int, ...] = _FAIR) -> CompletedProcess[str]:
        """Run one `mta` command; a status that is not fair is a problem."""
        done = self.house.instance.try_mta(*arguments)
        if done.returncode not in fair:
            said = f"{done.stdout[-300:]}{done.stderr[-300:]}"
            self.problems.append(f"mta {' '.join(arguments)}: status {done.returncode}: {said}")
        return done

    def change(self) -> None:
        """Write another configuration, to be reloaded."""
        self.changes += 1
        banner = f"$myhostname ESMTP {self.changes}"
        self.house.instance.configure({"smtpd_banner": banner})

    def kill(self, process: Process) -> None:
        """SIGKILL for a daemon; returns when it is gone."""
        self.kills.append(Struck(time.time(), process.service))
        self.house.crash()
        kill(process)
        alive = self.house.instance.pids
        wait_until(lambda: process.pid not in alive(process.service), f"the end of {process}")

    def kill_master(self) -> None:
        """SIGKILL for supervisord; returns when all runs again."""
        self.kills.append(Struck(time.time(), MASTER))
        self.house.kill_master()

    def fault(self, row: str, fault: Fault) -> bool:
        """Have calls of one process of the row fail, until some did; whether any did."""
        pids = self.house.instance.pids(row)
        if not pids:
            return False
        self._traces += 1
        output = self.folder / f"trace-{self._traces}"
        try:
            with (
                suppress(AssertionError, OSError),  # no such call in time, or the process ended
                Trace(self.source.choice(pids), output, fault.calls, fault),
            ):
                wait_until(lambda: _struck(output) >= _HITS, "injected faults", 3 * self.seconds)
            return _struck(output) > 0
        finally:
            output.unlink(missing_ok=True)

    def leave_idle(self) -> None:
        """The clients that say nothing go."""
        while self.idle:
            self.idle.pop().close()

    @contextmanager
    def client(self) -> Iterator[Dialogue]:
        """One more client, greeted; what goes wrong before its end is a problem."""
        try:
            with self.house.instance.smtp(timeout=30.0) as client:
                yield client.greeted()
        except (OSError, EOFError, AssertionError) as error:
            self.problems.append(f"a client: {type(error).__name__}: {error}")


def _struck(output: Path) -> int:
    """How many calls strace has made fail."""
    return output.read_text(errors="replace").count("(INJECTED)") if output.exists() else 0
