"""Commit: sealed queue files reach stable storage, many at a time, never on the event loop.

One thread flushes. What is sealed while it works makes the next batch: no timer, so a lone message
waits for nobody, and under load the files of a batch share commits of the file system's journal.
Each file has its own result. A failed fsync is never tried again on that file, for the kernel has
forgotten what it could not write: the file is removed, the client is told to come again, and the
queue counts as sick for ten seconds, in which no new message should be begun. After that messages
are taken again: the first success ends the sickness, a failure renews it.
"""

import asyncio
import os
import threading
from queue import SimpleQueue

from mta.proto.status import INTERNAL_ERROR, MailError
from mta.queue.filesystem import fsync_covers_name
from mta.queue.room import SICK_TIME
from mta.queue.writer import QueueWriter, write_failure
from mta.util.log import Log

__all__ = ["Committer"]


class _Commit:
    """One file on its way; `failure` is set by the thread before the loop looks at it."""

    __slots__ = ("failure", "future", "writer")

    def __init__(self, writer: QueueWriter, future: asyncio.Future[None]) -> None:
        self.writer = writer
        self.future = future
        self.failure: MailError | None = None


class Committer:
    """Flushes sealed files; its thread starts with the first of them."""

    def __init__(self, root: int, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        """Files are named below the queue directory's descriptor `root`."""
        self._root = root
        self._loop = loop
        self._log = log
        self._gathered: list[_Commit] = []
        self._busy = False  # a batch is in the thread's hands or about to be
        self._idle: asyncio.Future[None] | None = None
        self._batches: SimpleQueue[list[_Commit] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._sync_folders = False
        self._failing = False
        self._sick_until = 0.0

    @property
    def sick(self) -> bool:
        """Whether a flush failed in the last ten seconds and none succeeded since."""
        return self._failing and self._loop.time() < self._sick_until

    def commit(self, writer: QueueWriter) -> asyncio.Future[None]:
        """A future that is done when the sealed file is on stable storage; the writer is used up.

        It raises MailError (451 4.3.0 or 452 4.3.1) when it is not; then the file is gone. Who
        cancels it does not learn the outcome: the message may well be in the queue.
        """
        commit = _Commit(writer, self._loop.create_future())
        if self._thread is None:
            try:
                self._start_thread()
            except (OSError, RuntimeError) as error:  # no memory, no thread: the next one may begin
                return self._refuse(commit, error)
        self._gathered.append(commit)
        if not self._busy:
            self._busy = True
            # Not at once: what else this turn of the loop seals belongs to the same batch.
            self._loop.call_soon(self._start_batch)
        return commit.future

    async def close(self) -> None:
        """Finish the batches in hand and end the thread."""
        while self._busy:
            self._idle = self._loop.create_future()
            await self._idle
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
            self._thread = None

    # On the loop

    def _start_thread(self) -> None:
        self._sync_folders = not fsync_covers_name(self._root)
        thread = threading.Thread(target=self._run, name="commit", daemon=True)
        thread.start()
        self._thread = thread

    def _refuse(self, commit: _Commit, error: Exception) -> asyncio.Future[None]:
        """Fail a commit that nobody would carry out."""
        failure = _fail(commit, MailError(INTERNAL_ERROR, str(error)))
        self._log.error("commit_failed", queue_id=commit.writer.queue_id, reason=failure.reason)
        commit.future.set_exception(failure)
        return commit.future

    def _start_batch(self) -> None:
        batch, self._gathered = self._gathered, []
        self._batches.put(batch)

    def _finish_batch(self, batch: list[_Commit]) -> None:
        self._busy = bool(self._gathered)
        if self._busy:
            self._start_batch()
        for commit in batch:
            if commit.failure is None:
                self._note_success()
            else:
                self._note_failure(commit.writer.queue_id, commit.failure)
            if commit.future.done():  # cancelled
                continue
            if commit.failure is None:
                commit.future.set_result(None)
            else:
                commit.future.set_exception(commit.failure)
        if self._idle is not None and not self._busy:
            self._idle.set_result(None)
            self._idle = None

    def _note_success(self) -> None:
        if self._failing:
            self._failing = False
            self._log.warning("queue_recovered")

    def _note_failure(self, queue_id: str, failure: MailError) -> None:
        self._log.error("commit_failed", queue_id=queue_id, reason=failure.reason)
        self._failing = True
        self._sick_until = self._loop.time() + SICK_TIME

    # In the thread

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._flush(batch)
            except Exception as error:  # noqa: BLE001 - nobody may wait for a dead thread
                for commit in batch:
                    commit.failure = commit.failure or MailError(INTERNAL_ERROR, repr(error))
            self._loop.call_soon_threadsafe(self._finish_batch, batch)

    def _flush(self, batch: list[_Commit]) -> None:
        if len(batch) > 1:
            # All are being written when the first fsync commits the journal, so the others find
            # little left to wait for: half the time of one after the other, measured on ext4.
            for commit in batch:
                commit.writer.start_writing()
        for commit in batch:
            try:
                commit.writer.sync()
            except OSError as error:
                _fail(commit, write_failure(error))
        if self._sync_folders:
            self._flush_folders([commit for commit in batch if commit.failure is None])
        for commit in batch:
            if commit.failure is None:
                try:
                    commit.writer.close()
                except OSError as error:
                    _fail(commit, write_failure(error))

    def _flush_folders(self, batch: list[_Commit]) -> None:
        folders: dict[str, list[_Commit]] = {}
        for commit in batch:
            folders.setdefault(commit.writer.folder, []).append(commit)
        for folder, commits in folders.items():
            try:
                _sync_folder(self._root, folder)
            except OSError as error:
                for commit in commits:
                    _fail(commit, write_failure(error))


def _fail(commit: _Commit, failure: MailError) -> MailError:
    commit.failure = failure
    try:
        commit.writer.discard()
    except OSError as second:
        failure.reason += f"; and the file could not be removed: {second}"
    return failure


def _sync_folder(root: int, folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
