"""The daemon as the skeleton sees it: pipes in, one file out, in the form that is wanted.

The first line of a silence is written at once. Those that follow may gather for a moment: under
load one read and one write carry the lines of many messages.
"""

import fcntl
import os
from typing import Final

from mta.daemons.log.classic import classic_form
from mta.daemons.log.file import LogFile
from mta.daemons.log.lines import LineCheck, as_it_came
from mta.master.daemon import Context
from mta.util.log import Log

__all__ = ["LogHandler"]

_READ_SIZE: Final = 256 * 1024  # octets, or the pipe's capacity if that is more
_GATHER_TIME: Final = 0.02  # seconds from one read to the next
_DRAIN_READS: Final = 16  # at the end: what is there, not what keeps coming
_RETRY_INTERVAL: Final = 1.0  # seconds
_STDERR: Final = 2


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
        classic = context.parameters.log_format == "classic"
        self._form = classic_form(context.snapshot, context.parameters) if classic else as_it_came
        self._pipes: dict[int, LineCheck] = {}
        self._buffer = bytearray(_READ_SIZE)  # one for all reads: a fresh one costs three calls
        self._blocked_since: float | None = None

    async def start(self) -> None:
        """Open the file."""
        self._file.reopen()

    def adopt(self, listener: str, descriptor: int) -> None:
        """Read lines from this pipe."""
        del listener
        os.set_blocking(descriptor, False)
        self._pipes[descriptor] = LineCheck(self._log, self._form)
        capacity = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
        if capacity > len(self._buffer):
            self._buffer = bytearray(capacity)
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
        count = self._carry(descriptor)
        # With half of the pipe full there is no time to lose.
        if 0 < count < len(self._buffer) // 2 and self._blocked_since is None:
            self._loop.remove_reader(descriptor)
            self._loop.call_later(_GATHER_TIME, self._listen, descriptor)

    def _listen(self, descriptor: int) -> None:
        if self._blocked_since is not None:
            return
        try:
            self._loop.add_reader(descriptor, self._readable, descriptor)
        except OSError as error:  # no memory: epoll_ctl(2)
            self._block(error)

    def _carry(self, descriptor: int) -> int:
        """Carry one read's worth of lines; the count of octets, 0 if there was nothing."""
        try:
            count = os.readv(descriptor, [self._buffer])
        except BlockingIOError:
            return 0
        if not count:
            self._loop.remove_reader(descriptor)  # nobody can write any more
            return 0
        data = bytes(memoryview(self._buffer)[:count])
        lines = self._pipes[descriptor].feed(data)
        self._used(lines.count(b"\n"))
        try:
            self._file.append(lines)
        except OSError as error:
            self._block(error)
        return count

    def _block(self, error: OSError) -> None:
        """Leave the lines in the pipe until it and the file can be used again."""
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
            for descriptor in self._pipes:
                self._loop.add_reader(descriptor, self._readable, descriptor)
        except OSError:
            self._loop.call_later(_RETRY_INTERVAL, self._retry)
            return
        seconds = round(self._loop.time() - self._blocked_since, 1)
        self._log.warning("log_resumed", seconds=seconds)
        self._blocked_since = None
