"""The queue as a whole: find, open, note, move, remove, set aside.

All names are relative to one directory descriptor. Only queue ids become paths. No call here waits
for the disk to be flushed: what it does after the commit may be lost in a power cut, which repeats
a delivery or an attempt and loses nothing.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from mta.queue.errors import QueueFileMissing
from mta.queue.journal import JournalRecord, encode_records
from mta.queue.layout import State, path_of
from mta.queue.queue_id import ALPHABET, is_queue_id, new_queue_id
from mta.queue.reader import INCOMPLETE_MODE, StoredMessage, open_message

__all__ = ["QueueStore"]

_LEFTOVER_AGE: Final = 36 * 3600.0  # seconds; Postfix's age for a file that nobody completes
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class QueueStore:
    """The queue below one directory; an OSError of any method says nothing about a message."""

    def __init__(self, root: str = ".") -> None:
        # O_PATH: a sandboxed daemon may name files below it without being allowed to list it.
        self.descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the descriptor; the store is of no use afterwards."""
        os.close(self.descriptor)

    def open_message(self, state: State, queue_id: str) -> StoredMessage:
        """Open one message: see `mta.queue.reader.open_message`."""
        return open_message(self.descriptor, state, queue_id)

    def scan(self, state: State) -> Iterator[str]:
        """The ids in that state as they are found, in no order.

        Only `incoming` can hold unfinished files: they are passed over, and removed when nobody
        has written to them for 36 hours. Names that are no queue ids are passed over.
        """
        for digit in ALPHABET:
            try:
                folder = os.open(f"{state}/{digit}", _DIRECTORY, dir_fd=self.descriptor)
            except FileNotFoundError:
                continue
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name[-1] != digit or not is_queue_id(entry.name):
                            continue
                        if state != "incoming" or self._is_complete(entry):
                            yield entry.name
            finally:
                os.close(folder)

    def append_log(self, state: State, queue_id: str, records: Iterable[JournalRecord]) -> None:
        """Append to a message's journal with one write; QueueFileMissing if it is gone."""
        data = encode_records(records)
        path = path_of(state, queue_id)
        try:
            descriptor = os.open(path, _APPEND, dir_fd=self.descriptor)
        except FileNotFoundError:
            raise QueueFileMissing(path) from None
        try:
            written = os.write(descriptor, data)
            if written != len(data):
                # The reader skips the torn record, also where whole ones follow it.
                raise OSError(errno.ENOSPC, f"wrote {written} of {len(data)} octets", path)
        finally:
            os.close(descriptor)

    def set_due(self, state: State, queue_id: str, due: float) -> None:
        """Note when a message is to be tried next; QueueFileMissing if it is gone.

        That is the file's time of modification, as in Postfix, so that a scan of a large queue
        opens nothing. Whoever writes to the file later makes it due at once: sooner is harmless.
        """
        path = path_of(state, queue_id)
        try:
            os.utime(path, (due, due), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            raise QueueFileMissing(path) from None

    def due(self, state: State, queue_id: str) -> float:
        """When a message is to be tried next, as its file tells; QueueFileMissing if it is gone."""
        path = path_of(state, queue_id)
        try:
            return os.stat(path, dir_fd=self.descriptor, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            raise QueueFileMissing(path) from None

    def move(self, queue_id: str, source: State, target: State) -> None:
        """Move a message to another state; QueueFileMissing if it is not in `source`."""
        path = path_of(source, queue_id)
        try:
            os.rename(
                path,
                path_of(target, queue_id),
                src_dir_fd=self.descriptor,
                dst_dir_fd=self.descriptor,
            )
        except FileNotFoundError:
            raise QueueFileMissing(path) from None

    def remove(self, queue_id: str, state: State) -> None:
        """Remove a message for good; QueueFileMissing if it is not in that state."""
        path = path_of(state, queue_id)
        try:
            os.unlink(path, dir_fd=self.descriptor)
        except FileNotFoundError:
            raise QueueFileMissing(path) from None

    def quarantine(self, queue_id: str, state: State) -> str:
        """Set a file that is no message aside in `corrupt`; return its new path.

        Whatever kind of file it is, it is moved as it is; if one lies there under the same name,
        it gets a new queue id for a name. QueueFileMissing if there is none.
        """
        path = path_of(state, queue_id)
        target = path_of("corrupt", queue_id)
        with suppress(FileNotFoundError):
            # Only the queue manager moves files here, so nobody takes the name in between.
            os.stat(target, dir_fd=self.descriptor, follow_symlinks=False)
            target = path_of("corrupt", new_queue_id(time.time(), os.urandom(8)))
        try:
            os.rename(path, target, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        except FileNotFoundError:
            raise QueueFileMissing(path) from None
        return target

    def _is_complete(self, entry: os.DirEntry[str]) -> bool:
        """Whether the file is complete; an abandoned one is removed."""
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != INCOMPLETE_MODE:
            return True  # as far as a scan can tell
        if time.time() - found.st_mtime > _LEFTOVER_AGE:
            self._remove_leftover(entry.name)
        return False

    def _remove_leftover(self, queue_id: str) -> None:
        """Remove an unfinished file, unless its writer lives: that one holds a lock."""
        path = path_of("incoming", queue_id)
        with suppress(FileNotFoundError):
            descriptor = os.open(path, _APPEND, dir_fd=self.descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path, dir_fd=self.descriptor)
            except BlockingIOError:
                pass
            finally:
                os.close(descriptor)
