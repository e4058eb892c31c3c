"""The queue as a whole: find, open, note, move, remove, set aside.

All names are relative to one directory descriptor. Only queue ids become paths. No call here waits
for the disk to be flushed: what it does after the commit may be lost in a power cut, which repeats
a delivery or an attempt and loses nothing.
"""

import enum
import errno
import os
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from mta.queue.errors import QueueFileMissing
from mta.queue.journal import JournalRecord, encode_records
from mta.queue.layout import State, path_of
from mta.queue.leftovers import is_unfinished
from mta.queue.queue_id import ALPHABET, is_queue_id, new_queue_id
from mta.queue.reader import StoredMessage, open_message

__all__ = ["Finding", "Kind", "QueueStore"]

_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATED_IN: Final[State] = "incoming"
_SUBFOLDERS: Final = frozenset(ALPHABET)


class Kind(enum.Enum):
    """What a name in a state's folder is, as far as a scan can tell: it opens nothing."""

    MESSAGE = "message"
    UNFINISHED = "unfinished"  # being written, or left behind; in `incoming` alone
    FOREIGN = "foreign"  # no queue id, or one that does not belong there


class Finding(NamedTuple):
    """What a look at a state's folder has found."""

    kind: Kind
    name: str  # a queue id; of what is foreign, the path below the state's folder


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
        """The ids in that state as they are found, in no order; see `look`."""
        return (found.name for found in self.look(state) if found.kind is Kind.MESSAGE)

    def look(self, state: State) -> Iterator[Finding]:
        """All that lies in that state as it is found, in no order.

        A folder that cannot be read hides no other: the first OSError comes at the end.
        """
        failure: OSError | None = None
        for folder in ("", *ALPHABET):
            try:
                yield from self._look_into(state, folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                failure = failure or error
        if failure is not None:
            raise failure

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
        self._rename(path_of(source, queue_id), path_of(target, queue_id))

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
        target = path_of("corrupt", queue_id)
        # Only the queue manager moves files here, so nobody takes the name in between.
        if self._is_there(target):
            target = path_of("corrupt", new_queue_id(time.time(), os.urandom(8)))
        self._rename(path_of(state, queue_id), target)
        return target

    def set_aside(self, folder: int, name: str) -> str:
        """Move what lies in another open folder to `corrupt`, as it is; return its new path.

        QueueFileMissing if there is nothing; OSError (EXDEV) if that is another file system.
        """
        target = path_of("corrupt", new_queue_id(time.time(), os.urandom(8)))
        try:
            os.rename(name, target, src_dir_fd=folder, dst_dir_fd=self.descriptor)
        except FileNotFoundError:
            # A file server may have moved it and lost the answer.
            if self._is_there(target):
                return target
            raise QueueFileMissing(name) from None
        return target

    def _look_into(self, state: State, folder: str) -> Iterator[Finding]:
        """What lies in one subfolder; where `folder` is empty, beside them."""
        path = f"{state}/{folder}".rstrip("/")
        descriptor = os.open(path, _DIRECTORY, dir_fd=self.descriptor)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    name = entry.name
                    if not folder:
                        if name not in _SUBFOLDERS:
                            yield Finding(Kind.FOREIGN, name)
                    elif name[-1] != folder or not is_queue_id(name):
                        yield Finding(Kind.FOREIGN, f"{folder}/{name}")
                    elif state == _CREATED_IN and _is_unfinished(entry):
                        yield Finding(Kind.UNFINISHED, name)
                    else:
                        yield Finding(Kind.MESSAGE, name)
        except OSError as error:
            error.filename = error.filename or path
            raise
        finally:
            os.close(descriptor)

    def _is_there(self, path: str) -> bool:
        try:
            os.stat(path, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _rename(self, path: str, target: str) -> None:
        """Rename; QueueFileMissing if there is no such file, not if there is no such folder."""
        try:
            os.rename(path, target, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        except FileNotFoundError:
            if self._is_there(path):
                raise
            raise QueueFileMissing(path) from None


def _is_unfinished(entry: os.DirEntry[str]) -> bool:
    try:
        return is_unfinished(entry.stat(follow_symlinks=False))
    except OSError:
        return False  # who opens it learns what is wrong with it
