"""Two hosts leave messages in one folder; the callers' sendmail and the hub's pickup are killed.

Each host is a root of its own: name, boot id, configuration, user. Nothing runs there but what a
caller starts. What ends with 0 is delivered, whole; what sendmail said of the other calls is that
nothing is known. Copies of one call are pickup's: at most as many as kills of it found a file.
"""

import os
import shutil
import signal
import threading
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from support.background import Background
from support.waiting import wait_until

from reliability.house import House, Record
from reliability.ledger import Verdict
from reliability.maildrop.client import ClientHost, Victim
from reliability.maildrop.writers import Writer
from reliability.proof import Report, Run, Table

__all__ = ["prove"]

_HOSTS: Final = (("desk1", "nobody"), ("desk2", "daemon"))
_WRITERS: Final = 2  # on each
_PAUSE: Final = (0.5, 3.0)  # seconds between two kills of pickup, at least and at most
_LOOK: Final = 0.2  # seconds
_GLANCE: Final = 0.01  # seconds
_PATIENCE: Final = 300.0  # seconds for what is left when the last writer has ended
_NEVER: Final = (
    *("internal_error", "set_aside", "put_off", "not_moved", "not_removed", "returned"),
    *("nobody_to_tell", "look_failed", "leftover_removed", "corrupt", "held", "malformed"),
)


def prove(run: Run) -> Report:
    """Have `run.size` messages sent, and hold the ledger against what arrived."""
    trial = _Trial(run)
    with ExitStack() as stack:
        house = stack.enter_context(
            House(
                run.folder / "hub",
                {"maildrop_directory": str(trial.maildrop)},
                {"pickup": {"wakeup": "1s", "numprocs": 1}},
            )
        )
        return trial.live(house, stack)


class _Trial:
    """One run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.maildrop = run.folder / "maildrop"
        self.maildrop.mkdir()
        shutil.chown(self.maildrop, "mta", "mta")
        self.maildrop.chmod(0o3733)
        self._in_flight = 0  # kills of pickup while a file lay there
        self._files: dict[tuple[str, str], int] = {}  # by boot and host of their names: the owner
        self._bad: list[str] = []

    def live(self, house: House, stack: ExitStack) -> Report:
        """Send, kill, wait, judge."""
        house.log.tell(self._note)
        hosts = [
            ClientHost(self._run.folder / name, name, str(self._boot(name)), user, self.maildrop)
            for name, user in _HOSTS
        ]
        for host in hosts:
            stack.callback(host.close)
        places = [host for host in hosts for _ in range(_WRITERS)]
        share, more = divmod(self._run.size, len(places))
        writers = [
            Writer(host, number, share + (number < more), house.ledger, self._run.random)
            for number, host in enumerate(places)
        ]
        ending = threading.Event()
        stack.callback(ending.set)
        killer = Background(lambda: self._kill(house, ending))
        threads = [
            threading.Thread(target=writer.write, args=(ending,), daemon=True) for writer in writers
        ]
        with killer:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                ending.wait(_LOOK)
                done = sum(writer.sent for writer in writers)
                self._run.progress(done, f"{len(house.crashes)} kills of pickup")
            ending.set()
        with suppress(AssertionError):
            wait_until(lambda: not self._waiting(), "an empty maildrop", _PATIENCE, interval=_LOOK)
        settled = house.settle(_PATIENCE)
        report = self._judge(house, writers)
        if not settled:
            report.failures.append(f"not settled: {house.ledger.missing()[:5]}")
        return report

    def _boot(self, name: str) -> uuid.UUID:
        return uuid.UUID(int=self._run.random(f"boot {name}").getrandbits(128))

    def _kill(self, house: House, ending: threading.Event) -> None:
        """Kill pickup at random until the end."""
        source = self._run.random("pickup")
        # Until a strike has found a file, each glance is for one: a short run has little time.
        while not ending.wait(source.uniform(*_PAUSE) if self._in_flight else _GLANCE):
            pids = house.instance.pids("pickup")
            if not self._in_flight and not self._waiting():
                continue
            for pid in pids:
                self._in_flight += bool(self._waiting())
                house.crash()
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _waiting(self) -> list[str]:
        return [name for name in os.listdir(self.maildrop) if not name.startswith(".")]

    def _note(self, record: Record) -> None:
        if record["event"] in _NEVER:
            self._bad.append(f"the mail log: {record}")
        elif record["event"] == "submitted" and "file" in record:
            _, _, boot, _, host = record["file"].split("-")
            self._files[boot, host] = record["uid"]

    def _judge(self, house: House, writers: list[Writer]) -> Report:
        verdict = house.ledger.judge(house.crashes, house.attempts)
        report = Report()
        failures = report.failures
        failures += verdict.failures
        failures += [failure for writer in writers for failure in writer.failures][:10]
        failures += self._bad[:10]
        if verdict.acknowledged != self._run.size:
            failures.append(f"{verdict.acknowledged} of {self._run.size} messages acknowledged")
        if verdict.extra > self._in_flight:
            failures.append(f"{verdict.extra} extra copies, {self._in_flight} kills in flight")
        struck = {mark for writer in writers for mark in writer.struck_marks}
        if verdict.unacknowledged > len(struck):
            failures.append("calls failed of which none was killed")
        if self._waiting():
            failures.append(f"left in the maildrop: {self._waiting()[:5]}")
        failures += [f"{path} is left" for path in house.instance.queue_files("corrupt", "hold")]
        failures += [f"{name}: {text}" for name, text in house.crash_logs().items()]
        self._judge_names(failures, {writer.host for writer in writers})
        if not self._in_flight or not struck:
            failures.append("nothing was killed")
        self._tell(report, house, writers, verdict)
        return report

    def _judge_names(self, failures: list[str], hosts: set[ClientHost]) -> None:
        """The hosts must have been what they were meant to be."""
        meant = {(host.boot.replace("-", "")[:12], host.name): host.user.pw_uid for host in hosts}
        if self._files != meant:
            failures.append(f"files of {self._files}, not of {meant}")

    def _tell(self, report: Report, house: House, writers: list[Writer], verdict: Verdict) -> None:
        killed = sum(writer.struck.total() for writer in writers)
        hidden = len(_hidden(self.maildrop))
        report.figures |= {
            "messages acknowledged": f"{verdict.acknowledged:,}",
            "sendmail killed": f"{killed:,}",
            "of which the message was on its way": f"{verdict.unacknowledged_arrived:,}",
            "pickup killed, of which with files in the maildrop": (
                f"{len(house.crashes):,}, {self._in_flight:,}"
            ),
            "extra copies made by deaths of pickup": f"{verdict.extra:,}",
            "files in the making left": f"{hidden:,}",
            "lost": f"{verdict.lost:,}",
        }
        rows = tuple(
            (
                writer.host.name,
                writer.host.user.pw_name,
                f"{writer.sent:,}",
                *(f"{writer.struck[victim]:,}" for victim in Victim),
            )
            for writer in writers
        )
        heads = ("host", "user", "messages", *(f"killed: {victim.value}" for victim in Victim))
        report.tables.append(Table("Writers", heads, rows))


def _hidden(maildrop: Path) -> list[str]:
    return [name for name in os.listdir(maildrop) if name.startswith(".")]
