"""The master's own log files on a disk that fails: lines may be lost, the master may not.

Supervisor tells of a line that it cannot write on its stderr, which is the same file, and of that
failure nobody: on a full disk, where a log cannot be rotated, and where one cannot be opened, an
OSError ends its loop, and with it the house. Here such a line is dropped and counted, the file is
opened again for the next one, and the first that fits is preceded by the count.
"""

import sys
from contextlib import suppress
from typing import Any, Final

from supervisor import loggers

from mta.master.plugin.seam import Options

__all__ = ["SteadyFileHandler", "steady_logs"]

_APPEND: Final = "ab"


class SteadyFileHandler(loggers.RotatingFileHandler):  # type: ignore[misc]
    """Takes the place of Supervisor's rotating file; none of its methods raises an OSError."""

    def __init__(self, filename: str, _mode: str, max_bytes: int, backup_count: int) -> None:
        """As Supervisor calls its own, whose __init__ would insist on a file."""
        loggers.Handler.__init__(self)
        self.baseFilename = filename
        self.mode = _APPEND
        self.maxBytes = max_bytes
        self.backupCount = backup_count
        self.stream: Any = None
        self.closed = True
        self._lost = 0
        self.reopen()

    def emit(self, record: loggers.LogRecord) -> None:
        """Write a line, or drop it."""
        if self.closed:
            self.reopen()
        try:
            if self.closed:
                self._lost += 1
                return
            if self._lost:
                self.stream.write(b"lines that could not be written: %d\n" % self._lost)
                self.stream.flush()
                self._lost = 0
            super().emit(record)
        except OSError:  # of the rotation, or of the count above
            self.handleError()

    def doRollover(self) -> None:  # noqa: N802 - Supervisor's name
        """Rotate the file where it is large enough; not behind a line that was dropped."""
        if not self.closed:
            super().doRollover()

    def reopen(self) -> None:
        """Open the file anew, or leave that to the next line."""
        self.close()
        with suppress(OSError):
            self.stream = open(self.baseFilename, self.mode)  # noqa: SIM115
            self.closed = False

    def remove(self) -> None:
        """Remove the file, as far as that is possible."""
        with suppress(OSError):
            super().remove()

    def close(self) -> None:
        """Close the file; what it would not take is gone with it."""
        if not self.closed:
            self.closed = True
            with suppress(OSError):
                self.stream.close()

    def handleError(self) -> None:  # noqa: N802 - Supervisor's name
        """The line that is being written could not be; called where its error is handled."""
        if not isinstance(sys.exception(), OSError):
            with suppress(OSError):
                super().handleError()
        self._lost += 1
        self.close()


def steady_logs(options: Options) -> None:
    """Make the log of this supervisord steady, and those of all processes that it starts."""
    loggers.RotatingFileHandler = SteadyFileHandler
    handlers = options.logger.handlers
    for place, handler in enumerate(handlers):
        if isinstance(handler, loggers.FileHandler):
            steady = SteadyFileHandler(
                handler.baseFilename, _APPEND, handler.maxBytes, handler.backupCount
            )
            steady.setFormat(handler.fmt)
            steady.setLevel(handler.level)
            handlers[place] = steady
            handler.close()
