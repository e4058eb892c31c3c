"""A program that takes a message on its standard input: fed, heard, and ended in time.

The law: the program's end decides, nothing else. It need not read all of the message; what it
leaves behind in the background does not hold us up, and neither does its output, of which the first
kilobytes are kept, much is dropped, and a flood is stopped by SIGPIPE. When time is up, all of its
process group is killed: what has left that group goes on, as it may (setsid(2)).

The program gets its arguments as they are, no shell in between; the environment that is named and
nothing else; standard input, output and error, and no other descriptor. Its calls block: no loop.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from mta.ipc.messages import CommandEnded
from mta.util.descriptors import close_read

__all__ = ["OUTPUT_LIMIT", "run_command"]

OUTPUT_LIMIT: Final = 4096  # octets that are kept
_FLOOD: Final = 1024 * 1024  # octets that are read at most
_CHUNK: Final = 64 * 1024  # octets
_AFTERMATH: Final = 5.0  # seconds for the kernel to end a process that was killed


def run_command(
    arguments: Sequence[str],
    pieces: Iterator[bytes],
    seconds: float,
    environment: Mapping[str, str],
    directory: str,
) -> CommandEnded:
    """Run a program to its end; `pieces` are what its standard input has.

    OSError when it cannot be started. What iterating over `pieces` raises passes through, and the
    program is killed: it must not take a part of a message for the whole.
    """
    process = subprocess.Popen(  # noqa: S603 - to run what it is given is its task
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd=directory,
        start_new_session=True,
        bufsize=0,
    )
    conversation = _Conversation(process, pieces)
    try:
        timed_out = not conversation.hold(time.monotonic() + seconds)
        if timed_out:
            _kill(process)
        status = process.wait(_AFTERMATH)
    except subprocess.TimeoutExpired as error:
        # It sleeps in the kernel, on a dead file server perhaps: nobody can end it.
        raise OSError(f"{arguments[0]}: cannot be killed") from error
    except BaseException:
        _kill(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_AFTERMATH)
        raise
    finally:
        conversation.close()
    return CommandEnded(status, timed_out, bytes(conversation.output))


def _kill(process: subprocess.Popen[bytes]) -> None:
    # The group bears the number of its first process, which nobody else gets before our wait.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class _Conversation:
    """The pipes of one program, and the descriptor that tells of its end."""

    def __init__(self, process: subprocess.Popen[bytes], pieces: Iterator[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.output = bytearray()
        self._read = 0
        self._pieces = pieces
        self._pending = memoryview(b"")
        self._streams = [process.stdin, process.stdout]
        self._input: int = process.stdin.fileno()
        self._output: int = process.stdout.fileno()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        self._end = os.pidfd_open(process.pid)
        self._poll = select.poll()
        self._poll.register(self._end, select.POLLIN)
        self._poll.register(self._input, select.POLLOUT)
        self._poll.register(self._output, select.POLLIN)

    def hold(self, due: float) -> bool:
        """Feed and hear the program until its end; False if time is up before."""
        while True:
            left = due - time.monotonic()
            if left <= 0:
                return False
            for descriptor, _ in self._poll.poll(left * 1000):
                if descriptor == self._input:
                    self._feed()
                elif descriptor == self._output:
                    self._hear()
                else:
                    self._hear()  # what it said last
                    return True

    def close(self) -> None:
        """Close everything; twice is harmless."""
        for stream in self._streams:
            with suppress(OSError):  # what it has not read is no matter
                stream.close()
        if self._end >= 0:
            close_read(self._end)
            self._end = -1

    def _feed(self) -> None:
        try:
            if not self._pending:
                self._pending = memoryview(next(self._pieces))
            self._pending = self._pending[os.write(self._input, self._pending) :]
        except BlockingIOError:
            return
        except (StopIteration, BrokenPipeError):
            self._poll.unregister(self._input)
            self._streams[0].close()

    def _hear(self) -> None:
        """Read what there is; stop at the end, and where it becomes a flood."""
        while not self._streams[1].closed:
            try:
                said = os.read(self._output, _CHUNK)
            except BlockingIOError:
                return
            self._read += len(said)
            self.output += said[: OUTPUT_LIMIT - len(self.output)]
            if not said or self._read > _FLOOD:
                self._poll.unregister(self._output)
                self._streams[1].close()
