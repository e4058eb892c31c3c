"""sqlite: values by a question to a database, `sqlite:PATH` (Postfix: sqlite_table(5)).

The database is opened for reading only, and other programs may write to it meanwhile. It is gossip:
what is damaged, locked for too long, or asked for what takes too long, is a failure that will pass.
A question ends with its time, by way of SQLite's progress handler.
"""

import os
import sqlite3
import stat
import time
from typing import Final
from urllib.parse import quote

from mta.lookup.expansions import Parts
from mta.lookup.files import SourceFile
from mta.lookup.fold import fold
from mta.lookup.patience import Patience
from mta.lookup.sqlite_source import SIZE_LIMIT, Query, read_query
from mta.lookup.table import VALUE_LIMIT, TableError

__all__ = ["SqliteTable"]

_LOCKED_FOR: Final = 5.0  # seconds that another's lock is waited for, at most
_STEPS: Final = 10_000  # of SQLite's machine between two looks at the clock: less than 1 ms
_ROW_LIMIT: Final = 1 << 20  # octets
_UNSEEN_FOR: Final = 5.0  # seconds
_PRAGMAS: Final = (
    "mmap_size = 0",  # a file that is truncated must not kill the daemon
    "trusted_schema = OFF",  # views and triggers of the file call no function with effects
    "cell_size_check = ON",
)


class SqliteTable:
    """The table `sqlite:PATH`; not for several threads at once, but for any one at a time."""

    def __init__(self, path: str, patience: Patience) -> None:
        self._name = f"sqlite:{path}"
        self._patience = patience
        self._file = SourceFile(self._name, path, SIZE_LIMIT, read_query)
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[str, int, int] | None = None  # path, device, inode

    @property
    def takes_parts(self) -> bool:
        """Parts of an address are keys."""
        return True

    def find(self, key: str) -> str | None:
        """The results for the folded key, with commas; TableError if that cannot be known."""
        query = self._file.content()
        parts = Parts.of(fold(key))
        arguments = query.arguments(parts)
        if arguments is None or not _is_text(key):
            return None
        try:
            return self._ask(query, arguments, parts)
        except sqlite3.Error as error:
            self.close()
            self._patience.left(self._name)  # that it was interrupted tells less
            raise self._error(query, str(error)) from error
        except TableError:
            self.close()
            raise

    def identity(self) -> int:
        """Another number every few seconds: writing to a database does not show on its file."""
        return int(time.time() / _UNSEEN_FOR)

    def check(self) -> None:
        """Look whether the question can be asked, and the database is whole; TableError says why.

        It reads all of the database.
        """
        query = self._file.content()
        try:
            connection = self._connected(query)
            connection.set_progress_handler(None, _STEPS)
            connection.execute(f"EXPLAIN {query.sql}", ("",) * len(query.parameters)).close()
            ((said,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.Error as error:
            raise self._error(query, str(error)) from error
        finally:
            self.close()
        if said != "ok":
            raise self._error(query, said)

    def close(self) -> None:
        """Close the database; the next look-up opens it anew."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._opened = None

    def _ask(self, query: Query, arguments: tuple[str, ...], key: Parts) -> str | None:
        connection = self._connected(query)
        self._patience.left(self._name)
        connection.set_progress_handler(lambda: self._patience.over, _STEPS)
        results: list[str] = []
        size = 0
        for row in connection.execute(query.sql, arguments):
            value = Parts.of(self._text(query, row[0]))
            if not value.has(code for code in query.result.codes if code.islower()):
                continue
            results.append(query.result.fill(value, key))
            size += len(results[-1].encode()) + 1
            if size > VALUE_LIMIT:
                raise self._error(query, f"results of more than {VALUE_LIMIT} octets")
            if len(results) > query.expansion_limit > 0:
                raise self._error(query, f"more results than expansion_limit allows: {key.whole}")
        return ",".join(results) or None

    def _text(self, query: Query, value: object) -> str:
        """The text of a column; nothing for NULL."""
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError as error:
                raise self._error(query, "a result is no UTF-8") from error
        text = "" if value is None else str(value)
        if "\0" in text:
            raise self._error(query, "a result has a NUL in it")
        return text

    def _connected(self, query: Query) -> sqlite3.Connection:
        """The database as it is now: one that was replaced is opened anew."""
        try:
            found = os.stat(query.database)
        except OSError as error:
            raise self._error(query, error.strerror or str(error)) from error
        # To open a FIFO would wait for somebody to write to it.
        if not stat.S_ISREG(found.st_mode):
            raise self._error(query, "expected a regular file")
        opened = (query.database, found.st_dev, found.st_ino)
        if self._connection is None or self._opened != opened:
            self.close()
            self._connection = self._connect(query)
            self._opened = opened
        return self._connection

    def _connect(self, query: Query) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(query.database)}?mode=ro",
            uri=True,
            timeout=min(_LOCKED_FOR, self._patience.left(self._name)),
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _ROW_LIMIT)
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").close()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _error(self, query: Query, what: str) -> TableError:
        return TableError(f"{self._name}: {query.database}: {what}")


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False  # no table has octets that are no UTF-8
    return True
