"""Maildir: one file a message, visible only when it is whole and on stable storage.

The law: written under tmp/, flushed, renamed into new/, and new/ flushed, before anyone hears
"delivered", and so are the names of the folders; whatever fails leaves nothing in new/. Each step
is relative to an open directory and follows no symbolic link, so that no mailbox owner can turn a
delivery elsewhere. No locks: see maildir(5).
"""

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from mta.delivery.failures import mailbox_failure
from mta.delivery.folders import enter_folder
from mta.delivery.mailboxes import KnownMailboxes
from mta.util.descriptors import close_read

__all__ = [
    "Maildir",
    "MaildirNames",
    "crlf_to_lf",
    "deliver_to_maildir",
    "open_base",
    "open_maildir",
]

_FILE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BUFFER_SIZE: Final = 128 * 1024  # octets
_HOST_LIMIT: Final = 128  # octets of the host's name: a file name has 255 for everything


class MaildirNames:
    """Names that no other delivery on any host makes, and that nobody can guess."""

    def __init__(self, host: str) -> None:
        safe = host.replace("/", "\\057").replace(":", "\\072")
        self._host = safe[:_HOST_LIMIT]
        self._counter = itertools.count(1)

    def new(self) -> str:
        """A new name: time, microseconds, process, delivery, randomness, host."""
        seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
        return (
            f"{seconds}.M{microseconds}P{os.getpid()}Q{next(self._counter)}"
            f"R{os.urandom(8).hex()}.{self._host}"
        )


def open_base(path: str) -> int:
    """Open the directory that holds all mailboxes; OSError when it is not there."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class Maildir:
    """An open Maildir; `folder` is its descriptor, while the block of `open_maildir` lasts."""

    def __init__(self, path: str, folder: int, tmp: int, new: int) -> None:
        self.folder = folder
        self._path = path
        self._tmp = tmp
        self._new = new

    def deliver(self, name: str, pieces: Iterable[bytes]) -> None:
        """Deliver `pieces` as the file `name`.

        MailError, always temporary, when the file system refuses; what iterating over `pieces`
        raises passes through.
        """
        try:
            _write(self._tmp, name, pieces)
            _publish(self._tmp, self._new, name)
        except OSError as error:
            raise mailbox_failure(self._path, error) from error


@contextmanager
def open_maildir(base: int, folders: Sequence[str], known: KnownMailboxes) -> Iterator[Maildir]:
    """The Maildir at `folders` beneath the directory `base`.

    Folders are made as needed, mode 0700; each is a single name. MailError, always temporary, when
    the file system refuses.
    """
    path = "/".join(folders)
    with ExitStack() as stack:
        try:
            above = [base]
            for folder in folders:
                above.append(_enter(stack, above[-1], folder))
            # new/ is made last: where it is, the others are.
            tmp, _, new = [_enter(stack, above[-1], folder) for folder in ("tmp", "cur", "new")]
            if known.begin(folders, tmp):
                # Another delivery may have made a folder and not yet flushed its name.
                for descriptor in above:
                    os.fsync(descriptor)
        except OSError as error:
            raise mailbox_failure(path, error) from error
        yield Maildir(path, above[-1], tmp, new)


def deliver_to_maildir(
    base: int,
    folders: Sequence[str],
    name: str,
    pieces: Iterable[bytes],
    known: KnownMailboxes,
) -> None:
    """Open a Maildir and deliver to it; errors as of both."""
    with open_maildir(base, folders, known) as maildir:
        maildir.deliver(name, pieces)


def _enter(stack: ExitStack, parent: int, folder: str) -> int:
    """Open a folder until the stack unwinds; make it, durably, if it is not there."""
    descriptor = enter_folder(parent, folder)
    stack.callback(close_read, descriptor)
    return descriptor


def _write(tmp: int, name: str, pieces: Iterable[bytes]) -> None:
    descriptor = os.open(name, _FILE_FLAGS, 0o600, dir_fd=tmp)
    try:
        buffer = bytearray()
        for piece in pieces:
            buffer += piece
            if len(buffer) >= _BUFFER_SIZE:
                _write_all(descriptor, buffer)
                buffer.clear()
        _write_all(descriptor, buffer)
        os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):  # the first failure is the one to tell
            os.unlink(name, dir_fd=tmp)
        raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes | bytearray) -> None:
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.write(descriptor, view[written:])


def _publish(tmp: int, new: int, name: str) -> None:
    """Rename into new/ and make that last; a message that may not last is taken out again."""
    place = tmp
    try:
        os.rename(name, name, src_dir_fd=tmp, dst_dir_fd=new)
        place = new
        os.fsync(new)
    except OSError:
        with suppress(OSError):
            os.unlink(name, dir_fd=place)
        raise


def crlf_to_lf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Convert line ends as they stream by; a CR that no LF follows is content and stays."""
    held = b""
    for chunk in chunks:
        data = held + chunk
        held = b"\r" if data.endswith(b"\r") else b""
        yield data[: len(data) - len(held)].replace(b"\r\n", b"\n")
    if held:
        yield held
