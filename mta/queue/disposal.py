"""Disposal: the descriptors of removed files are closed, many at a time, never on the event loop.

The last close of a file without a name frees its blocks, and has to wait while the file system's
journal commits what others fsync: a millisecond under load, several times the rest of a delivery.
Nothing depends on when it is done, so what gathers for a moment goes to one thread.
"""

import asyncio
import os
from typing import Final

from mta.util.log import Log
from mta.util.threads import WorkerPool

__all__ = ["Disposer"]

_GATHERING: Final = 0.005  # seconds
_LIMIT: Final = 128  # descriptors that wait; beyond that the loop has to wait as well


class Disposer:
    """Closes descriptors; its thread starts with the first of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self._loop = loop
        self._log = log
        self._gathered: list[int] = []
        self._busy = False  # a batch is in the thread's hands or about to be
        self._executor = WorkerPool(1, "dispose")

    def close(self, descriptor: int) -> None:
        """Close a descriptor soon; it is the callee's."""
        self._gathered.append(descriptor)
        if not self._busy:
            self._busy = True
            self._loop.call_later(_GATHERING, self._start_batch)
        elif len(self._gathered) > _LIMIT:
            batch, self._gathered = self._gathered, []
            self._report(_close_all(batch))

    def stop(self) -> None:
        """Take no more; what still waits ends with the process."""
        self._executor.shutdown(wait=False)

    def _start_batch(self) -> None:
        batch, self._gathered = self._gathered, []
        try:
            closing = self._loop.run_in_executor(self._executor, _close_all, batch)
        except RuntimeError:  # no thread is to be had: the loop has to wait
            self._busy = False
            self._report(_close_all(batch))
            return
        closing.add_done_callback(self._finish_batch)

    def _finish_batch(self, closing: asyncio.Future[list[OSError]]) -> None:
        self._busy = bool(self._gathered)
        if self._busy:
            self._start_batch()
        self._report(closing.result())

    def _report(self, errors: list[OSError]) -> None:
        for error in errors:
            self._log.error("close_failed", reason=str(error))


def _close_all(descriptors: list[int]) -> list[OSError]:
    """Close them all; the errors of those that fail: each is closed all the same (close(2))."""
    errors = []
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError as error:
            errors.append(error)
    return errors
