"""Quotas of Maildirs, kept as Maildir++ has it: the file maildirsize beside new/ and cur/.

    10000000S,1000C     the quota: octets and messages; 0, or nothing, is no limit
    2048 1              what was added or taken away, one line each

The law: the sum of the lines is what the mailbox holds, as far as everybody appends what he does.
When it exceeds the quota, when the file is too long, or when its first line is not the quota's,
everything is counted anew, from the names (",S=OCTETS") or else the files, and the file is
replaced. Messages in the folder Trash do not count, and neither do those that are marked as
deleted (T). Two deliveries at the same time may together exceed a quota: it is no lock.
"""

import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

from msgspec import Struct

from mta.delivery.failures import FULL, mailbox_failure
from mta.delivery.folders import enter_folder, open_folders
from mta.proto.status import MailError
from mta.util.descriptors import close_read

__all__ = ["Quota", "QuotaKeeper", "Room"]

_FILE: Final = "maildirsize"
_SIZE_LIMIT: Final = 5120  # octets of the file, beyond which it is made anew
_FRESH: Final = 900.0  # seconds that a count of one line is believed
_TRASH: Final = ".Trash"
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_SIZE: Final = re.compile(r",S=(\d{1,18})")
_DELETED: Final = re.compile(r":2,[A-Za-z]*T")
_TERM: Final = re.compile(r"(\d{1,18})([SC])")
_LINE: Final = re.compile(r"\s*(-?\d{1,18})\s+(-?\d{1,18})\s*\Z")


class Quota(Struct, frozen=True):
    """Limits, or what a mailbox holds."""

    octets: int = 0
    messages: int = 0

    @classmethod
    def parse(cls, line: str) -> "Quota":
        """The limits that a first line gives; what is not understood is no limit."""
        terms = {kind: int(number) for number, kind in _TERM.findall(line)}
        return cls(terms.get("S", 0), terms.get("C", 0))

    def __str__(self) -> str:
        terms = ((self.octets, "S"), (self.messages, "C"))
        return ",".join(f"{number}{kind}" for number, kind in terms if number)

    def __bool__(self) -> bool:
        return bool(self.octets or self.messages)

    def plus(self, octets: int, messages: int) -> "Quota":
        """The sum."""
        return Quota(self.octets + octets, self.messages + messages)

    def admits(self, held: "Quota") -> bool:
        """Whether a mailbox may hold that much."""
        octets_fit = not self.octets or held.octets <= self.octets
        return octets_fit and (not self.messages or held.messages <= self.messages)


class Room:
    """Room for one message: `suffix` is what its file name ends in."""

    def __init__(self, suffix: str = "", take: Callable[[], None] = lambda: None) -> None:
        self.suffix = suffix
        self.take = take  # note that the message is there


class QuotaKeeper:
    """Keeps one quota in all mailboxes; where it is none, the mailbox's own, if it has any."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota

    def room(self, maildir: int, pieces: Callable[[], Iterable[bytes]]) -> Room:
        """Room in an open Maildir for the message `pieces`; the descriptor is needed by `take` too.

        MailError: 552 5.2.2 if there is none, temporary if that cannot be known.
        """
        try:
            ledger = _read(maildir)
            quota = self._quota or (ledger.quota if ledger else Quota())
            if not quota:
                return Room()
            size = sum(map(len, pieces()))
            if ledger is None or ledger.quota != quota or not ledger.lines:
                ledger = _count(maildir, quota)
            if not quota.admits(ledger.held.plus(size, 1)) and not ledger.fresh:
                ledger = _count(maildir, quota)
        except OSError as error:
            raise mailbox_failure(_FILE, error) from error
        if not quota.admits(ledger.held.plus(size, 1)):
            raise MailError(FULL, f"quota {quota}, holds {ledger.held or 'nothing'}, {size} more")
        return Room(f",S={size}", lambda: _note(maildir, size))


class _Ledger(Struct, frozen=True):
    """What maildirsize says."""

    quota: Quota
    held: Quota
    lines: int  # after the first
    fresh: bool  # just counted


def _read(maildir: int) -> _Ledger | None:
    """None: there is none, or it must be made anew."""
    try:
        descriptor = os.open(_FILE, _READ_FLAGS, dir_fd=maildir)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return None
        data = os.read(descriptor, _SIZE_LIMIT + 1)
    finally:
        close_read(descriptor)
    first, *rest = data.decode("ascii", "replace").splitlines() or [""]
    quota, held = Quota.parse(first), Quota()
    for line in rest:
        numbers = _LINE.match(line)
        if numbers is not None:
            held = held.plus(int(numbers[1]), int(numbers[2]))
    is_whole = len(data) <= _SIZE_LIMIT and data.endswith(b"\n")
    fresh = len(rest) == 1 and 0 <= time.time() - found.st_mtime < _FRESH
    return _Ledger(quota, held, len(rest) if is_whole else 0, fresh)


def _count(maildir: int, quota: Quota) -> _Ledger:
    """Count everything, and write that down."""
    held = Quota()
    with os.scandir(maildir) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(".")]
    for name in ("", *names):
        if name != _TRASH:
            for octets in _messages(maildir, name):
                held = held.plus(octets, 1)
    _replace(maildir, f"{quota}\n{held.octets} {held.messages}\n".encode())
    return _Ledger(quota, held, 1, fresh=True)


def _messages(maildir: int, folder: str) -> Iterator[int]:
    """The sizes of the messages in one folder of the Maildir; "" is the Maildir itself."""
    for name in ("new", "cur"):
        try:
            place = open_folders(maildir, (folder, name) if folder else (name,), make=False)
        except OSError:  # no folder, or a link to one: nothing of ours
            continue
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or _DELETED.search(entry.name):
                        continue
                    told = _SIZE.search(entry.name)
                    with suppress(FileNotFoundError):  # its reader moved it
                        yield int(told[1]) if told else entry.stat(follow_symlinks=False).st_size
        finally:
            close_read(place)


def _replace(maildir: int, data: bytes) -> None:
    tmp = enter_folder(maildir, "tmp")
    try:
        name = f"{time.time_ns()}.{os.urandom(8).hex()}.{_FILE}"
        flags = _WRITE_FLAGS | os.O_CREAT | os.O_EXCL
        descriptor = os.open(name, flags, 0o600, dir_fd=tmp)
        try:
            os.write(descriptor, data)  # if it is cut short, it is counted again
        finally:
            os.close(descriptor)
        os.rename(name, _FILE, src_dir_fd=tmp, dst_dir_fd=maildir)
    finally:
        close_read(tmp)


def _note(maildir: int, size: int) -> None:
    """Append what was delivered. It is delivered all the same if that fails, and counted later."""
    with suppress(OSError):
        descriptor = os.open(_FILE, _WRITE_FLAGS | os.O_APPEND, dir_fd=maildir)
        try:
            os.write(descriptor, f"{size} 1\n".encode())
        finally:
            os.close(descriptor)
