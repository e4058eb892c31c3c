"""Tables that may block, asked in threads of their own: who is stuck is so alone."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from msgspec import Struct

from mta.daemons.lookup.quick import found
from mta.ipc.messages import Found, Key
from mta.lookup.blocking import openers
from mta.lookup.open import open_table
from mta.lookup.patience import Patience
from mta.lookup.syntax import TableName
from mta.lookup.table import Hit, Table, TableError, search
from mta.util.threads import WorkerPool

__all__ = ["BlockingTables"]

_THREADS: Final = 8  # requests to one list of tables at a time; as many connections, too
_GRACE: Final = 1.05  # of a request's time: then not even the table's own deadline has ended it


class _Opened(Struct, frozen=True):
    """The tables, opened once more, and the deadline that they keep to."""

    patience: Patience
    tables: tuple[Table, ...]


class BlockingTables:
    """The tables of a parameter; `timeout` is seconds for one request, waiting included."""

    def __init__(
        self, names: Sequence[TableName], timeout: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._names = tuple(names)
        self._timeout = timeout
        self._loop = loop
        self._pool = WorkerPool(_THREADS, "lookup")
        self._free: list[_Opened] = []  # not in use by a thread
        self._stack = ExitStack()  # closes what is open, at the process's end

    async def find(self, keys: Sequence[Key]) -> Found:
        """See `Find`; TableError if a table gives no answer, or none in time."""
        due = time.monotonic() + self._timeout
        try:
            working = self._loop.run_in_executor(self._pool, self._work, keys, due)
        except RuntimeError as error:
            raise TableError(f"{self._told}: no thread can be had: {error}") from error
        try:
            async with asyncio.timeout(self._timeout * _GRACE):
                hit = await working
        except TimeoutError as error:
            raise TableError(f"{self._told}: stuck for {self._timeout:g} s") from error
        return found(hit)

    @property
    def _told(self) -> str:
        return ", ".join(map(str, self._names))

    def _work(self, keys: Sequence[Key], due: float) -> Hit | None:
        """In a thread."""
        try:
            opened = self._free.pop()
        except IndexError:
            opened = self._open()
        try:
            opened.patience.until(due)
            opened.patience.left(self._told)
            return search(opened.tables, keys)
        finally:
            self._free.append(opened)

    def _open(self) -> _Opened:
        patience = Patience(self._timeout)
        kinds = openers(patience, self._stack)
        return _Opened(patience, tuple(open_table(name, kinds) for name in self._names))
