"""The daemons' log: one JSON object a line, written at once or not at all.

A line is at most `LINE_LIMIT` octets, so that the kernel writes it to a pipe whole or not at all
(PIPE_BUF, pipe(7)). The log never blocks and never raises: mail matters more. A full pipe drops
the line; the next line that fits tells how many were dropped.
"""

import os
import time
import traceback
from typing import Final

import msgspec

__all__ = ["LINE_LIMIT", "Log", "Value"]

LINE_LIMIT: Final = 4096  # octets, newline included
Value = str | int | float | bool | None

_STDERR: Final = 2
_NAME_LIMIT: Final = 64  # characters of a name in a line's head
_CUT: Final = "…"
_LARGEST: Final = 2**63

_encode = msgspec.json.Encoder().encode


class Log:
    """Writes lines to one descriptor: the log pipe (non-blocking), or stderr.

    Every line begins with time (seconds since the epoch), level, service, process, pid, generation
    and event; those names are not for fields. A line that is too long has its longest strings
    shortened.
    """

    def __init__(self, descriptor: int, service: str, process: str, generation: int) -> None:
        self._descriptor = descriptor
        self._dropped = 0
        self._head: dict[str, Value] = {
            "service": service[:_NAME_LIMIT],
            "process": process[:_NAME_LIMIT],
            "pid": os.getpid(),
            "generation": generation,
        }

    def debug(self, event: str, /, **fields: Value) -> None:
        """What only a developer wants to know."""
        self._log("debug", event, fields)

    def info(self, event: str, /, **fields: Value) -> None:
        """What happens in normal work."""
        self._log("info", event, fields)

    def warning(self, event: str, /, **fields: Value) -> None:
        """What an operator should look at."""
        self._log("warning", event, fields)

    def error(self, event: str, /, **fields: Value) -> None:
        """What an operator must look at."""
        self._log("error", event, fields)

    def failure(self, event: str, error: BaseException, /, **fields: Value) -> None:
        """An error that nobody foresaw: with its traceback."""
        trace = "".join(traceback.format_exception(error))
        self.error(event, **fields, reason=str(error) or type(error).__name__, traceback=trace)

    def _log(self, level: str, event: str, fields: dict[str, Value]) -> None:
        head = {"time": _now(), "level": level, **self._head, "event": event}
        if self._dropped:
            head["dropped"] = self._dropped
        try:
            line = _encode(head | fields) + b"\n"
        except (ValueError, TypeError, OverflowError):
            fields = {name: _plain(value) for name, value in fields.items()}
            head = {name: _plain(value) for name, value in head.items()}
            line = _encode({**head, **fields}) + b"\n"
        if len(line) > LINE_LIMIT:
            line = _shortened(head, fields)
        self._write(line)

    def _write(self, line: bytes) -> None:
        try:
            # A line is within PIPE_BUF: a pipe never takes a part of it.
            os.write(self._descriptor, line)
        except OSError as error:
            if isinstance(error, BlockingIOError) or self._descriptor == _STDERR:
                self._dropped += 1
                return
            self._descriptor = _STDERR
            self.error("log_lost", reason=f"the log pipe: {error}; from now on this is stderr")
            self._write(line)
        else:
            self._dropped = 0


def _now() -> float:
    """Seconds since the epoch, with six decimals: round() would take as long as the encoding."""
    return int(time.time() * 1e6) / 1e6


def _plain(value: object) -> Value:
    """What JSON can hold: undecodable octets escaped, huge numbers in hexadecimal."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case int() if abs(value) >= _LARGEST:
            return f"{value:#x}"
        case bool() | int() | float() | None:
            return value
        case _:
            return repr(value).encode("utf-8", "backslashreplace").decode()


def _shortened(head: dict[str, Value], fields: dict[str, Value]) -> bytes:
    """The line with as much of its strings as fits: all are cut to one length, found by halving."""
    event = str(head["event"])
    head = {**head, "event": event if len(event) <= _NAME_LIMIT else event[:_NAME_LIMIT] + _CUT}
    fitting, least, most = b"", 0, LINE_LIMIT
    while least <= most:
        length = (least + most) // 2
        cut = {name: _cut(value, length) for name, value in fields.items()}
        line = _encode({**head, **cut}) + b"\n"
        if len(line) <= LINE_LIMIT:
            fitting, least = line, length + 1
        else:
            most = length - 1
    return fitting or _encode({**head, "shortened": len(fields)}) + b"\n"


def _cut(value: Value, length: int) -> Value:
    return value[:length] + _CUT if isinstance(value, str) and len(value) > length else value
