"""The locks that mail programs agree upon for an mbox: fcntl, flock, and a file NAME.lock.

    fcntl     a record lock on the whole file, which belongs to our opening of it (F_OFD_SETLK): so
              it keeps out other threads of this process, and the fcntl locks of other programs
    flock     flock(2)
    dotlock   NAME.lock beside the mailbox, made by whoever has the lock; an old one is void

The law: never wait without end, and never in a way that cannot be given up. A lock that is not had
in time is a temporary failure (4.2.0), and those that were had by then are released.
"""

import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final, Literal

from msgspec import Struct

from mta.proto.status import temporary
from mta.util.descriptors import close_read

__all__ = ["Lock", "Patience", "locked"]

Lock = Literal["fcntl", "flock", "dotlock"]

_FIRST_PAUSE: Final = 0.01  # seconds; it doubles up to the longest
_LOCK_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WHOLE_FILE: Final = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)  # struct flock


class Patience(Struct, frozen=True):
    """How long a lock is waited for, in seconds: Postfix's deliver_lock_attempts and so on."""

    longest: float = 20.0  # for each lock
    pause: float = 1.0  # between two attempts, at most
    stale: float = 500.0  # the age at which a lock file is void


@contextmanager
def locked(
    folder: int, name: str, mailbox: int, locks: Iterable[Lock], patience: Patience
) -> Iterator[None]:
    """Hold the locks of the open mailbox `name` in `folder`, taken in their order.

    MailError 451 4.2.0 when one cannot be had in time; OSError when one cannot be tried.
    """
    with ExitStack() as held:
        for lock in locks:
            _wait(_attempt(held, lock, folder, name, mailbox, patience), lock, name, patience)
        yield


def _attempt(
    held: ExitStack, lock: Lock, folder: int, name: str, mailbox: int, patience: Patience
) -> Callable[[], None]:
    """A function that takes the lock, or raises BlockingIOError or FileExistsError."""
    match lock:
        case "fcntl":
            # Both end with the descriptor, which the caller closes when the message is on disk.
            return lambda: _void(fcntl.fcntl(mailbox, fcntl.F_OFD_SETLK, _WHOLE_FILE))
        case "flock":
            return lambda: fcntl.flock(mailbox, fcntl.LOCK_EX | fcntl.LOCK_NB)
        case "dotlock":
            return lambda: _make_lock_file(held, folder, f"{name}.lock", patience.stale)


def _void(_: object) -> None:
    """Drop a result that says nothing."""


def _wait(attempt: Callable[[], None], lock: Lock, name: str, patience: Patience) -> None:
    end = time.monotonic() + patience.longest
    pause = _FIRST_PAUSE
    while True:
        try:
            attempt()
        except (BlockingIOError, PermissionError, FileExistsError) as error:
            # Some file systems say EACCES for a lock that another has (fcntl(2)).
            if isinstance(error, PermissionError) and lock == "dotlock":
                raise
            left = end - time.monotonic()
            if left <= 0:
                temporary("4.2.0", "mailbox is locked", f"{name}: {lock}: {error}")
        else:
            return
        time.sleep(min(pause, patience.pause, left))
        pause *= 2


def _make_lock_file(held: ExitStack, folder: int, name: str, stale: float) -> None:
    try:
        descriptor = os.open(name, _LOCK_FLAGS, 0o600, dir_fd=folder)
    except FileExistsError:
        # The holder died, or the file would be younger: deliveries take seconds. The next attempt
        # makes it anew, and only one of those who try succeeds.
        with suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if found.st_mtime < time.time() - stale:
                os.unlink(name, dir_fd=folder)
        raise
    held.callback(_remove_lock_file, folder, name, descriptor)


def _remove_lock_file(folder: int, name: str, descriptor: int) -> None:
    """Remove our lock file; one that another made, who found ours too old, is not ours."""
    with suppress(OSError):
        ours, found = os.fstat(descriptor), os.stat(name, dir_fd=folder, follow_symlinks=False)
        if (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino):
            os.unlink(name, dir_fd=folder)
    close_read(descriptor)
