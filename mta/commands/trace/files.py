"""The log file and what it was rotated into: mail.log.1, mail.log.2.gz, mail.log-20261124.

Files are read as streams: neither a huge file nor a line without an end costs memory.
"""

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Final

from mta.util.log import LINE_LIMIT

__all__ = ["LogReader"]

# What classic form adds to a record, and what escapes it makes of it.
_LONGEST: Final = 8 * LINE_LIMIT
_ROTATED: Final = r"(?:[.-]\d{1,14})?(?:\.gz)?"


class LogReader:
    """Reads all that is left of one log; `problems` are the files that could not be read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[str] = []

    def lines(self) -> Iterator[bytes]:
        """Every line without its newline, the oldest file first; longer ones are no records."""
        for path in self._files():
            try:
                yield from _lines(path)
            except FileNotFoundError:
                continue  # as below
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                problem = f"{path}: {error}"
                if problem not in self.problems:
                    self.problems.append(problem)

    def _files(self) -> list[str]:
        folder, name = os.path.split(self.path)
        form = re.compile(re.escape(name) + _ROTATED)
        found = []
        for each in os.listdir(folder) if os.path.isdir(folder) else ():
            path = os.path.join(folder, each)
            if form.fullmatch(each) and os.path.isfile(path):
                with suppress(FileNotFoundError):  # rotated meanwhile
                    # The file that is written now is the last, however old its last line is.
                    found.append((each == name, os.stat(path).st_mtime_ns, path))
        return [path for *_, path in sorted(found)]


def _lines(path: str) -> Iterator[bytes]:
    with ExitStack() as stack:
        stored = stack.enter_context(open(path, "rb"))
        packed = path.endswith(".gz")
        file = stack.enter_context(gzip.GzipFile(fileobj=stored)) if packed else stored
        within = False  # of a line that is too long
        while piece := file.readline(_LONGEST):
            whole = piece.endswith(b"\n")
            if not within and (whole or len(piece) < _LONGEST):
                yield piece.rstrip(b"\n")
            within = not whole
