"""The daemon that writes the mail log.

NAME
    log - carry lines from the daemons' pipe to the log file

DESCRIPTION
    All daemons write JSON lines into one pipe, whose reading end this daemon is given. A read takes
    all that the pipe holds, so it ends with a whole line. The lines are appended to log_file, which
    is opened again when it was renamed or removed (looked at once a second at most) and on wake.

    While the file cannot be written nothing is read: the pipe fills, the daemons drop lines and
    count them, and each tells the count in its next line. So memory is bounded, nothing blocks, and
    no loss goes untold. The write is tried again every second.

SECURITY
    What comes out of the pipe is gossip. A line that is no flat JSON object, or is longer than a
    line may be, is replaced by a record of the event "garbage" that quotes its beginning.

DIAGNOSTICS
    log_blocked: the file cannot be written (on stderr too, as it cannot be in the file yet).
    log_resumed: it can again. log_lost: the process ended before it could (on stderr).

CONFIGURATION PARAMETERS
    log_file
"""

import fcntl
import os
import time
from typing import Final

import msgspec

from mta.master.daemon import Context, Needs, run
from mta.util.log import LINE_LIMIT, Log, Value

__all__ = ["NEEDS", "LineCheck", "LogFile", "LogHandler"]

NEEDS = Needs(write=("$log_file/..",))

_READ_SIZE: Final = 256 * 1024  # octets, or the pipe's capacity if that is more
_DRAIN_READS: Final = 16  # at the end: what is there, not what keeps coming
_FOLLOW_INTERVAL: Final = 1.0  # seconds between two looks whether the file was renamed
_RETRY_INTERVAL: Final = 1.0  # seconds
_QUOTED: Final = 512  # octets of a line of garbage that are shown
_STDERR: Final = 2


class LogFile:
    """The file at `path`, appended to; what a full disk refused waits for the next flush."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._pending = b""
        self._written = 0  # octets of `_pending` that are in the file
        self._next_look = 0.0

    @property
    def pending(self) -> int:
        """Octets that are not in the file yet."""
        return len(self._pending) - self._written

    def append(self, lines: bytes) -> None:
        """Write whole lines; OSError if they could not all be written, which keeps the rest."""
        self._pending = self._pending[self._written :] + lines if self._pending else lines
        self._written = 0
        self.flush()

    def flush(self) -> None:
        """Write what is pending; OSError as for `append`."""
        self._follow()
        view = memoryview(self._pending)
        while self._written < len(view):
            self._written += os.write(self._descriptor, view[self._written :])
        self._pending, self._written = b"", 0

    def reopen(self) -> None:
        """Open the file at the path, whatever it is now; OSError leaves the old one open."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o640)
        self.close()
        self._descriptor = descriptor
        # A line that was cut short in the old file comes whole in the new one.
        self._written = self._pending.rfind(b"\n", 0, self._written) + 1

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _follow(self) -> None:
        now = time.monotonic()
        if self._descriptor >= 0 and now < self._next_look:
            return
        self._next_look = now + _FOLLOW_INTERVAL
        try:
            there = os.stat(self._path)
            ours = os.fstat(self._descriptor) if self._descriptor >= 0 else None
        except FileNotFoundError:
            ours = None
        if ours is None or not os.path.samestat(there, ours):
            self.reopen()


class LineCheck:
    """Cuts octets into lines and lets pass what is a record; the rest is reported."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._tail = b""
        self._skipping = False  # within a line that was reported as too long
        self._decode = msgspec.json.Decoder(dict[str, Value]).decode

    def feed(self, data: bytes) -> bytes:
        """Return the records among the lines that are complete now."""
        *lines, tail = (self._tail + data).split(b"\n")
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        passed = [line for line in lines if self._is_record(line)]
        if len(tail) >= LINE_LIMIT and not self._skipping:
            self._report(tail)
            self._skipping = True
        self._tail = b"" if self._skipping else tail
        return b"\n".join([*passed, b""])

    def finish(self) -> None:
        """Report what is left of a line whose end never came."""
        if self._tail:
            self._report(self._tail)
            self._tail = b""

    def _is_record(self, line: bytes) -> bool:
        if len(line) < LINE_LIMIT:
            try:
                self._decode(line)
            except ValueError:  # malformed, or not UTF-8
                pass
            else:
                return True
        self._report(line)
        return False

    def _report(self, line: bytes) -> None:
        text = line[:_QUOTED].decode("utf-8", "backslashreplace")
        # Through the pipe, like any line: it comes back as a record and ends there.
        self._log.warning("garbage", octets=len(line), text=text)


class LogHandler:
    """Reads pipes and writes the file."""

    def __init__(self, context: Context) -> None:
        self._loop = context.loop
        self._log = context.log
        self._stderr = Log(
            _STDERR, context.service.name, context.service.name, context.snapshot.generation
        )
        self._used = context.used
        self._file = LogFile(context.parameters.log_file)
        self._pipes: dict[int, LineCheck] = {}
        self._blocked_since: float | None = None

    async def start(self) -> None:
        """Open the file."""
        self._file.reopen()

    def adopt(self, listener: str, descriptor: int) -> None:
        """Read lines from this pipe."""
        del listener
        os.set_blocking(descriptor, False)
        self._pipes[descriptor] = LineCheck(self._log)
        self._loop.add_reader(descriptor, self._readable, descriptor)

    def wake(self) -> None:
        """Open the file again: it was rotated."""
        try:
            self._file.reopen()
        except OSError as error:
            self._block(error)

    async def stop(self) -> None:
        """Carry over what is in the pipes; a successor reads what comes later."""
        for descriptor, check in self._pipes.items():
            self._drain(descriptor)
            check.finish()
            self._drain(descriptor)  # what finish() had to say
        try:
            self._file.flush()
        except OSError as error:
            self._stderr.error("log_lost", octets=self._file.pending, reason=str(error))
        self._file.close()

    def _drain(self, descriptor: int) -> None:
        for _ in range(_DRAIN_READS):
            if self._blocked_since is not None or not self._carry(descriptor):
                return

    def _readable(self, descriptor: int) -> None:
        self._carry(descriptor)

    def _carry(self, descriptor: int) -> bool:
        """Carry one read's worth of lines; False if there was nothing."""
        size = max(_READ_SIZE, fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ))
        try:
            data = os.read(descriptor, size)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(descriptor)  # nobody can write any more
            return False
        lines = self._pipes[descriptor].feed(data)
        self._used(lines.count(b"\n"))
        try:
            self._file.append(lines)
        except OSError as error:
            self._block(error)
        return True

    def _block(self, error: OSError) -> None:
        """Leave the lines in the pipe until the file can be written again."""
        if self._blocked_since is not None:
            return
        self._blocked_since = self._loop.time()
        self._stderr.error("log_blocked", reason=str(error))
        self._log.error("log_blocked", reason=str(error))
        for descriptor in self._pipes:
            self._loop.remove_reader(descriptor)
        self._loop.call_later(_RETRY_INTERVAL, self._retry)

    def _retry(self) -> None:
        assert self._blocked_since is not None
        try:
            self._file.flush()
        except OSError:
            self._loop.call_later(_RETRY_INTERVAL, self._retry)
            return
        seconds = round(self._loop.time() - self._blocked_since, 1)
        self._log.warning("log_resumed", seconds=seconds)
        self._blocked_since = None
        for descriptor in self._pipes:
            self._loop.add_reader(descriptor, self._readable, descriptor)


if __name__ == "__main__":
    run(needs=NEEDS, handler=LogHandler)
