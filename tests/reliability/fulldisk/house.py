"""The system on three small disks, for queue, mailboxes and logs; and what its clients are told.

pid/ lies elsewhere: its locks are open for writing as long as the system runs, and the kernel makes
no disk read-only on which a file is.
"""

import shutil
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

from support.dialogue import Dialogue, Reply
from support.instance import Instance
from support.small_disk import SmallDisk, mounted

from reliability import house
from reliability.house import Record

__all__ = ["SMTPD_PROCESSES", "Events", "StorageHouse", "Witness"]

SMTPD_PROCESSES: Final = 2

_PARAMETERS: Final = {"message_size_limit": 1_000_000}
# One process of each, so that a fault of the process is one of the row; but two that take mail.
# None of them retires.
_ROWS: Final = {
    **{
        row: {"numprocs": 1, "min_free": 1, "max_use": 0}
        for row in ("cleanup", "rewrite", "virtual", "outbound", "resolver", "bounce")
    },
    "smtp": {"numprocs": SMTPD_PROCESSES, "min_free": SMTPD_PROCESSES, "max_use": 0},
}
_REFUSED_PAUSE: Final = 0.1  # seconds in which a refused client has better things to do


class Witness:
    """Gives out connections to the system, and counts how messages were refused on them."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def smtp(self, timeout: float = 10.0) -> Dialogue:
        """Connect as `Instance.smtp` does."""
        return _Watched(self, self._instance.port, timeout)

    def as_instance(self) -> Instance:
        """For a Load, which wants nothing of an instance but connections."""
        return cast("Instance", self)

    def count(self, what: str) -> None:
        """Count one event: accepted, before, after."""
        with self._lock:
            self._counts[what] += 1

    def counts(self) -> Counter[str]:
        """Messages so far: `accepted`, and those refused `before` and `after` their content."""
        with self._lock:
            return self._counts.copy()


class _Watched(Dialogue):
    """A connection whose replies are looked at."""

    def __init__(self, witness: Witness, port: int, timeout: float) -> None:
        super().__init__("127.0.0.1", port, timeout)
        self._witness = witness
        self._sent_content = False

    def reply(self) -> Reply:
        try:
            reply = super().reply()
        except (EOFError, OSError) as error:
            self._witness.wrong.append(f"a connection broke: {error!r}")
            raise
        verdict, self._sent_content = self._sent_content, reply.code == 354
        if reply.code >= 400:
            self._witness.count("after" if verdict else "before")
            if reply.code >= 500:
                self._witness.wrong.append(f"a permanent refusal: {reply}")
            threading.Event().wait(_REFUSED_PAUSE)
        elif verdict:
            self._witness.count("accepted")
        return reply


class Events:
    """What the log tells, counted."""

    def __init__(self) -> None:
        self.deferrals: list[float] = []  # of mailboxes; seconds since the epoch
        self._counts: Counter[str] = Counter()
        self._accepted: list[tuple[float, int]] = []  # when, and by which process

    def __call__(self, record: Record) -> None:
        """Hear one record."""
        self._counts[record["event"]] += 1
        if record["event"] == "delivery" and record["status"] == "deferred":
            self._counts["delivery deferred"] += 1
            if record["service"] == "virtual":
                self.deferrals.append(record["time"])
        elif record["event"] == "accepted":
            self._accepted.append((record["time"], record["pid"]))

    def accepted_since(self, moment: float) -> Counter[int]:
        """How many messages each process has taken since."""
        return Counter(pid for when, pid in self._accepted if when >= moment)

    def counts(self) -> Counter[str]:
        """How often each event was told so far; `delivery deferred` counts recipients."""
        return self._counts.copy()


class StorageHouse(house.House):
    """The house, its disks, its witness; a context."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _PARAMETERS, _ROWS)
        self.witness = Witness(self.instance)
        self.events = Events()
        self.log.tell(self.events)
        self.boxes_closed = False  # their owners take nothing out
        self._disks = ExitStack()
        self._folder = folder
        logs = self.instance.log_file.parent
        self.queue_disk = SmallDisk(
            self.instance.queue, folder / "queue.img", megabytes=24, inodes=2048
        )
        self.mail_disk = SmallDisk(
            self.instance.mail, folder / "mail.img", megabytes=48, inodes=4096
        )
        self.log_disk = SmallDisk(logs, folder / "log.img", megabytes=96, inodes=128)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for disk in (self.queue_disk, self.mail_disk, self.log_disk):
                disk.place.mkdir(exist_ok=True)
                stack.enter_context(disk)
            for place in (self._folder / "pid", self.instance.queue / "pid"):
                place.mkdir()
            stack.enter_context(
                mounted(self._folder / "pid", self.instance.queue / "pid", "--bind")
            )
            self.mail_disk.place.chmod(0o700)
            shutil.chown(self.mail_disk.place, "vmail", "vmail")
            self.log_disk.place.chmod(0o1770)
            shutil.chown(self.log_disk.place, "root", "mta")
            super().__enter__()
            self._disks = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._disks:
            super().__exit__(kind, error, trace)

    def _look(self) -> None:
        if not self.boxes_closed:
            super()._look()
