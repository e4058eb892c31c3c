"""Octets from a pipe -> records -> lines of the log file; what is no record is reported.

What comes out of the pipe is gossip: what passes is a flat JSON object within the limit of a line.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from mta.util.log import LINE_LIMIT, Log, Value

__all__ = ["Form", "LineCheck", "Record", "as_it_came"]

_QUOTED: Final = 512  # octets of a line of garbage that are shown

Record = dict[str, Value]
# A record, as it came and decoded -> lines of the file, each with its newline.
Form = Callable[[bytes, Record], bytes]


def as_it_came(line: bytes, record: Record) -> bytes:
    """The form of log_format: json."""
    del record
    return line + b"\n"


class LineCheck:
    """Cuts octets into lines and brings what is a record into form; the rest is reported."""

    def __init__(self, log: Log, form: Form) -> None:
        self._log = log
        self._form = form
        self._tail = b""
        self._skipping = False  # within a line that was reported as too long
        self._decode = msgspec.json.Decoder(Record).decode

    def feed(self, data: bytes) -> bytes:
        """Return the lines of the file for the records that are complete now."""
        *lines, tail = (self._tail + data).split(b"\n")
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        passed = [self._formed(line) for line in lines]
        if len(tail) >= LINE_LIMIT and not self._skipping:
            self._report(tail)
            self._skipping = True
        self._tail = b"" if self._skipping else tail
        return b"".join(passed)

    def finish(self) -> None:
        """Report what is left of a line whose end never came."""
        if self._tail:
            self._report(self._tail)
            self._tail = b""

    def _formed(self, line: bytes) -> bytes:
        if len(line) < LINE_LIMIT:
            try:
                record = self._decode(line)
            except ValueError:  # malformed, or not UTF-8
                pass
            else:
                return self._form(line, record)
        self._report(line)
        return b""

    def _report(self, line: bytes) -> None:
        text = line[:_QUOTED].decode("utf-8", "backslashreplace")
        # Through the pipe, like any line: it comes back as a record and ends there.
        self._log.warning("garbage", octets=len(line), text=text)
