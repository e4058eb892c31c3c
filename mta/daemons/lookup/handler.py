"""The daemon as the skeleton sees it: a row and a parameter name tables, and keys are looked up."""

from collections.abc import Awaitable
from typing import Final

from mta.config.tables import TABLE_PARAMETERS, TableFolders
from mta.daemons.lookup.blocking import BlockingTables
from mta.daemons.lookup.quick import QuickTables
from mta.ipc.connection import Descriptors
from mta.ipc.maps import LOOKUP_FAILURE, table_failure
from mta.ipc.messages import Find, Found, LookupRequest
from mta.ipc.server import RequestServer
from mta.lookup.syntax import parse
from mta.lookup.table import TableError
from mta.master.daemon import Context
from mta.proto.status import MailError

__all__ = ["LookupHandler"]

_CONCURRENCY: Final = 500  # requests of one client in hand: those to a slow table stop no others
_PART: Final = 0.9  # of ipc_timeout, after which the asker would no more hear an answer

Tables = QuickTables | BlockingTables


class LookupHandler(RequestServer[Find]):
    """Answers from the tables of the configuration in force, opened at the first request."""

    def __init__(self, context: Context) -> None:
        super().__init__(
            LookupRequest, context.log, context.used, self._answer, concurrency=_CONCURRENCY
        )
        self._context = context
        snapshot = context.snapshot
        self._views = {row.name: snapshot.parameters_for(row) for row in snapshot.services}
        self._tables: dict[tuple[str, ...], Tables] = {}  # by their names: rows share them
        self._folders = TableFolders(self._views.values())

    def _answer(self, request: Find, _: Descriptors) -> Found | Awaitable[Found]:
        try:
            tables = self._named(request)
            if isinstance(tables, BlockingTables):
                return self._wait(request, tables)
            return tables.find(request.keys)
        except TableError as error:
            raise self._failure(request, error) from error

    async def _wait(self, request: Find, tables: BlockingTables) -> Found:
        try:
            return await tables.find(request.keys)
        except TableError as error:
            raise self._failure(request, error) from error

    def _named(self, request: Find) -> Tables:
        """The tables that a request means; TableError if they cannot be opened."""
        if request.row not in self._views or request.parameter not in TABLE_PARAMETERS:
            reason = f"malformed: no tables of {request.parameter!r} for a row {request.row!r}"
            self._context.log.warning("lookup_refused", reason=reason)
            raise MailError(LOOKUP_FAILURE, reason)
        names: tuple[str, ...] = getattr(self._views[request.row], request.parameter)
        tables = self._tables.get(names)
        if tables is None:
            tables = self._tables[names] = self._open(names)
        return tables

    def _open(self, names: tuple[str, ...]) -> Tables:
        parsed = [parse(name) for name in names]
        if not any(name.blocking for name in parsed):
            return QuickTables(parsed)
        timeout = _PART * self._context.parameters.ipc_timeout
        return BlockingTables(parsed, timeout, self._context.loop)

    def _failure(self, request: Find, error: TableError) -> MailError:
        """What the asker is told; and whether a new process would be granted more."""
        failure = table_failure(request.parameter, str(error))
        self._context.log.warning("table_failed", reason=failure.reason)
        if self._folders.moved:
            self._context.log.info("tables_moved")
            self._context.retire()
        return failure
