"""mbox: all messages of a mailbox in one file, as mbox(5) and Postfix's mbox have them (mboxo).

    From SENDER  DATE          asctime, in local time; MAILER-DAEMON for the null sender
    header lines and content   ">" before each line that begins with "From "
    an empty line

The law: appended under the locks of whoever reads and writes the mailbox, and flushed before anyone
hears "delivered"; whatever fails is cut off again, so that no reader sees a part of a message. What
a delivery left that was killed is parted from the next message by an empty line. The file is a
regular one of ours with one name, not reached by a symbolic link. No privilege is used or given
up here: the process is already whoever the mailbox is written as.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Final

from mta.delivery.failures import FULL, mailbox_failure
from mta.delivery.lines import ended, quoted
from mta.delivery.mailbox_locks import Lock, Patience, locked
from mta.proto.status import MailError, temporary
from mta.queue.filesystem import fsync_covers_name

__all__ = ["append_to_mbox", "from_line", "mbox_form"]

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BUFFER_SIZE: Final = 128 * 1024  # octets
_USUAL: Final = Patience()


def append_to_mbox(
    folder: int,
    name: str,
    sender: str,
    pieces: Iterable[bytes],
    size_limit: int = 0,
    locks: Iterable[Lock] = ("fcntl", "dotlock"),
    patience: Patience = _USUAL,
) -> None:
    """Append the message `pieces`, lines ending in LF, to the file `name` in the open `folder`.

    The file is made as needed, mode 0600. `size_limit`: octets of the mailbox, 0: none. MailError:
    552 5.2.2 when the limit would be exceeded; temporary when the mailbox is none, is locked, or
    the file system refuses. What iterating over `pieces` raises passes through.
    """
    try:
        mailbox, is_new = _open(folder, name)
        try:
            _check(folder, name, mailbox)
            with locked(folder, name, mailbox, locks, patience):
                # A mail reader may have put another file in its place while we waited.
                _check(folder, name, mailbox)
                _append(mailbox, chain([from_line(sender)], mbox_form(pieces)), size_limit)
                if is_new and not fsync_covers_name(mailbox):
                    os.fsync(folder)
        finally:
            os.close(mailbox)
    except OSError as error:
        raise mailbox_failure(name, error) from error


def from_line(sender: str) -> bytes:
    """The line that a message begins with."""
    date = time.asctime(time.localtime())
    return f"From {sender or 'MAILER-DAEMON'}  {date}\n".encode()


def mbox_form(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Quote the lines of a message that would begin another, and end it with an empty line."""
    return ended(quoted(pieces, b"From ", b">"), b"\n")


def _open(folder: int, name: str) -> tuple[int, bool]:
    """The mailbox, and whether it was made."""
    try:
        return os.open(name, _FLAGS, dir_fd=folder), False
    except FileNotFoundError:
        with suppress(FileExistsError):  # another delivery was faster
            return os.open(name, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder), True
    return os.open(name, _FLAGS, dir_fd=folder), False


def _check(folder: int, name: str, mailbox: int) -> None:
    """Refuse what is no mailbox of ours, and one that is not at its place any more."""
    found = os.fstat(mailbox)
    if not stat.S_ISREG(found.st_mode):
        temporary("4.2.0", "mailbox is not a regular file", name)
    if found.st_uid != os.geteuid():
        temporary("4.2.0", "mailbox is not owned by its user", f"{name}: uid {found.st_uid}")
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        there = None
    if there is None or (there.st_dev, there.st_ino) != (found.st_dev, found.st_ino):
        temporary("4.2.0", "mailbox has been replaced meanwhile", name)
    if found.st_nlink != 1:
        temporary("4.2.0", "mailbox has several names", f"{name}: {found.st_nlink} links")


def _append(mailbox: int, pieces: Iterable[bytes], size_limit: int) -> None:
    start = os.fstat(mailbox).st_size
    try:
        size, buffer = start, bytearray(_parting(mailbox, start))
        for piece in pieces:
            buffer += piece
            if size_limit and size + len(buffer) > size_limit:
                raise MailError(FULL, f"more than {size_limit} octets")
            if len(buffer) >= _BUFFER_SIZE:
                size += _write(mailbox, buffer)
                buffer.clear()
        _write(mailbox, buffer)
        os.fsync(mailbox)
    except BaseException:
        with suppress(OSError):  # the first failure is the one to tell
            os.ftruncate(mailbox, start)
        raise


def _parting(mailbox: int, size: int) -> bytes:
    """What is missing of the empty line after the last message."""
    end = os.pread(mailbox, 2, max(0, size - 2))
    if not end or end == b"\n\n":
        return b""
    return b"\n" if end.endswith(b"\n") else b"\n\n"


def _write(mailbox: int, data: bytearray) -> int:
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.write(mailbox, view[written:])
    return written
