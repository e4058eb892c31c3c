"""The pipes of a command: it is fed a message, heard, and watched until its end.

The law: the command's own end is the end. It need not read all of the message; what it leaves
behind in the background holds nobody up, though it has the pipes still; and of its output the first
octets are kept. One piece is written and one pipe read at a time, so that no command that is fast
keeps its deadline from being seen. Its calls block: no loop.
"""

import enum
import os
import select
import time
from collections.abc import Iterator
from math import inf
from typing import Final

from mta.util.descriptors import close_read

__all__ = ["Conversation", "End"]

_PIPE_SIZE: Final = 65536  # octets: all that can be left in a pipe


class End(enum.Enum):
    """Why a conversation is over."""

    ENDED = "the command ended"
    LATE = "time is up"
    ALONE = "nobody is left to be told"


class Conversation:
    """With one command, by pipes for its input and its output, which are made here.

    `pieces` are what its standard input has; what iterating over them raises passes through `hold`.
    The first `kept` octets of output are kept; when more than `most` were read, the pipe is closed,
    and SIGPIPE ends a flood.
    """

    def __init__(self, pieces: Iterator[bytes], *, kept: int, most: float = inf) -> None:
        """OSError where there are no descriptors left."""
        self.output = bytearray()
        self._pieces = pieces
        self._pending = memoryview(b"")
        self._kept = kept
        self._left = most
        self._poll = select.poll()
        self._open: set[int] = set()
        try:
            self.standard_input, self._feed = self._pipe()
            self._outlet, self.standard_output = self._pipe()
        except BaseException:
            self.close()
            raise

    def begin(self, pid: int) -> None:
        """The command has its ends of the pipes: it is the child of that pid; OSError as above."""
        for descriptor in (self.standard_input, self.standard_output):
            self._close(descriptor)
        self._process = os.pidfd_open(pid)
        self._open.add(self._process)
        for descriptor in (self._feed, self._outlet):
            os.set_blocking(descriptor, False)
        self._poll.register(self._feed, select.POLLOUT)
        self._poll.register(self._outlet, select.POLLIN)
        self._poll.register(self._process, select.POLLIN)

    def hold(self, due: float, listener: int = -1) -> End:
        """Feed and hear the command until its end, or until a monotonic time.

        `listener` is a descriptor that hangs up when nobody is left to be told, if there is one.
        """
        if listener >= 0:
            self._poll.register(listener, 0)
        while True:
            left = due - time.monotonic()
            if left <= 0:
                return End.LATE
            ready = {descriptor for descriptor, _ in self._poll.poll(left * 1000)}
            if listener in ready:
                return End.ALONE
            if self._feed in ready:
                self._give()
            if self._outlet in ready:
                self._hear()
            if self._process in ready:
                self._hear()  # what it said last
                return End.ENDED

    def close(self) -> None:
        """Close everything: for the command this is the end of its input."""
        for descriptor in [*self._open]:
            self._close(descriptor)

    def _give(self) -> None:
        try:
            while not self._pending:
                self._pending = memoryview(next(self._pieces))
            self._pending = self._pending[os.write(self._feed, self._pending) :]
        except BlockingIOError:
            return
        except (BrokenPipeError, StopIteration):
            self._poll.unregister(self._feed)
            self._close(self._feed)

    def _hear(self) -> None:
        if self._outlet not in self._open:
            return
        try:
            said = os.read(self._outlet, _PIPE_SIZE)
        except BlockingIOError:
            return
        self._left -= len(said)
        self.output += said[: self._kept - len(self.output)]
        if not said or self._left < 0:
            self._poll.unregister(self._outlet)
            self._close(self._outlet)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC)
        self._open.update(ends)
        return ends

    def _close(self, descriptor: int) -> None:
        self._open.discard(descriptor)
        close_read(descriptor)
