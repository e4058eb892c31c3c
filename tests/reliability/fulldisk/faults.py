"""The kinds of fault, each a context in which it holds: what is done, and what is expected.

    refuses     new mail is refused for now, before its content once a process knows
    tells       one of these events is in the log, whoever could write it
    goes_on     these recipients have their mail although the fault holds
    may_repeat  a failure in it may cost a copy, as a crash may

A disk is kept full: what comes free while it is, is taken again at once.
"""

import os
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.instance import DOMAIN
from support.small_disk import SmallDisk
from support.tracing import Fault as FailingCalls
from support.tracing import Trace

from reliability.fulldisk.house import StorageHouse

__all__ = ["FAULTS", "Fault"]

Strike = Callable[[StorageHouse, random.Random], AbstractContextManager[None]]

_TOP_UP: Final = 0.02  # seconds
_LIMIT_PAUSE: Final = 0.2
_NEARLY: Final = 200  # blocks left at most


@dataclass(frozen=True)
class Fault:
    """One kind."""

    name: str
    strike: Strike
    tells: tuple[str, ...]
    refuses: bool = False
    goes_on: Callable[[str], bool] = lambda _: False
    may_repeat: bool = False


def _everybody(recipient: str) -> bool:
    del recipient
    return True


def _all_but_reports(recipient: str) -> bool:
    """A report is a new message, for which there is no room."""
    return not recipient.startswith("never-")


def _other_hosts(recipient: str) -> bool:
    return _all_but_reports(recipient) and not recipient.endswith(f"@{DOMAIN}")


# Disks


@contextmanager
def _kept(again: Callable[[], None], pause: float) -> Iterator[None]:
    """Do something at once, and again and again."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(pause):
            again()

    again()
    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _full(*disks: Callable[[StorageHouse], SmallDisk]) -> Strike:
    @contextmanager
    def strike(house: StorageHouse, _: random.Random) -> Iterator[None]:
        with ExitStack() as stack:
            for disk in (each(house) for each in disks):
                stack.callback(disk.free)
                stack.enter_context(_kept(disk.fill, _TOP_UP))
            yield

    return strike


def _nearly_full(disk: Callable[[StorageHouse], SmallDisk]) -> Strike:
    @contextmanager
    def strike(house: StorageHouse, source: random.Random) -> Iterator[None]:
        try:
            disk(house).fill(leave=source.randrange(1, _NEARLY))
            yield
        finally:
            disk(house).free()

    return strike


def _no_inodes(disk: Callable[[StorageHouse], SmallDisk]) -> Strike:
    @contextmanager
    def strike(house: StorageHouse, _: random.Random) -> Iterator[None]:
        try:
            with _kept(disk(house).fill_inodes, _TOP_UP):
                yield
        finally:
            disk(house).free()

    return strike


def _read_only(disk: Callable[[StorageHouse], SmallDisk]) -> Strike:
    @contextmanager
    def strike(house: StorageHouse, _: random.Random) -> Iterator[None]:
        house.boxes_closed = disk is _mail  # nor can their owners take anything out
        try:
            disk(house).set_read_only(read_only=True)
            yield
        finally:
            disk(house).set_read_only(read_only=False)
            house.boxes_closed = False

    return strike


# Daemons


def _limited(row: str, most: Callable[[StorageHouse, random.Random], int]) -> Strike:
    """The kernel writes a part, then refuses: no file of the row may be longer than that."""

    @contextmanager
    def strike(house: StorageHouse, source: random.Random) -> Iterator[None]:
        pids = house.instance.pids(row)

        def limit() -> None:
            for pid in pids:
                _limit_files(pid, str(most(house, source)))

        try:
            with _kept(limit, _LIMIT_PAUSE):
                yield
        finally:
            for pid in pids:
                _limit_files(pid, "unlimited")

    return strike


def _limit_files(pid: int, octets: str) -> None:
    """Set the limit as the user of that process: root itself may lack the capability."""
    status = Path(f"/proc/{pid}/status").read_text()
    ids = {name: int(_ids(status, name)) for name in ("Uid", "Gid")}
    command = ["prlimit", f"--pid={pid}", f"--fsize={octets}:unlimited"]
    subprocess.run(command, check=True, user=ids["Uid"], group=ids["Gid"], extra_groups=[])


def _ids(status: str, name: str) -> str:
    return status.partition(f"\n{name}:\t")[2].split("\t")[0]


def _log_size(house: StorageHouse, source: random.Random) -> int:
    return os.stat(house.instance.log_file).st_size + source.randrange(1, 300)


def _failing_flush(row: str, when: str) -> Strike:
    @contextmanager
    def strike(house: StorageHouse, source: random.Random) -> Iterator[None]:
        output = house.instance.directory / f"strace-{source.randrange(10**9)}"
        fault = FailingCalls("fsync", "error=EIO", when)
        with ExitStack() as stack:
            for number, pid in enumerate(house.instance.pids(row)):
                path = output.with_suffix(f".{number}")
                stack.callback(path.unlink)
                stack.enter_context(Trace(pid, path, "fsync", fault))
            yield

    return strike


def _queue(house: StorageHouse) -> SmallDisk:
    return house.queue_disk


def _mail(house: StorageHouse) -> SmallDisk:
    return house.mail_disk


def _logs(house: StorageHouse) -> SmallDisk:
    return house.log_disk


_REFUSED: Final = ("storage_refused",)
_WAITS: Final = ("delivery deferred",)
_JOURNAL: Final = ("queue_error", "unrecorded")
_BLOCKED: Final = ("log_blocked",)

# The short form takes the first of them.
FAULTS: Final[tuple[Fault, ...]] = (
    Fault("queue full", _full(_queue), _REFUSED, True, _all_but_reports),
    Fault("mailboxes full", _full(_mail), _WAITS, goes_on=_other_hosts),
    Fault("logs full", _full(_logs), _BLOCKED, goes_on=_everybody),
    Fault("queue read-only", _read_only(_queue), _REFUSED, True),
    Fault(
        "journal written in part",
        _limited("qmgr", lambda _, source: source.randrange(500, 6000)),
        _JOURNAL,
        goes_on=_all_but_reports,
    ),
    Fault("queue nearly full", _nearly_full(_queue), _REFUSED, True, _all_but_reports),
    Fault("queue without inodes", _no_inodes(_queue), _REFUSED, True, _all_but_reports),
    Fault("mailboxes without inodes", _no_inodes(_mail), _WAITS, goes_on=_other_hosts),
    Fault("mailboxes read-only", _read_only(_mail), _WAITS, goes_on=_other_hosts),
    Fault("all full", _full(_queue, _mail, _logs), (*_REFUSED, *_BLOCKED), True, _other_hosts),
    Fault(
        "queue file written in part",
        _limited("cleanup", lambda _, source: source.randrange(0, 100)),
        _REFUSED,
        True,
        _all_but_reports,
    ),
    Fault(
        "mailbox file written in part",
        _limited("virtual", lambda _, source: source.randrange(0, 200)),
        _WAITS,
        goes_on=_other_hosts,
    ),
    Fault("log written in part", _limited("log", _log_size), _BLOCKED, goes_on=_everybody),
    Fault("queue flush fails", _failing_flush("cleanup", "1+"), _REFUSED, True, _all_but_reports),
    Fault("mailbox flush fails", _failing_flush("virtual", "1+"), _WAITS, goes_on=_other_hosts),
    Fault(
        "mailbox folder's flush fails",
        _failing_flush("virtual", "2+2"),
        _WAITS,
        goes_on=_other_hosts,
        may_repeat=True,  # it is taken out of new/ again, if its owner was not faster
    ),
)
