"""Running a command as a user, with the message on its standard input.

    standard input            the message; a command need not read it
    standard output, error    a pipe: the beginning is kept, the rest read and thrown away
    environment               what the request says
    limits                    time; processes of the user; no core files (from the parent)

The law: the command's own end is the end. What it has left in the background goes on, as in
Postfix, and holds nobody up, for the pipe is not read to its end. When the time is up, the whole
process group is killed; what has made itself a session of its own has left it, and is bounded by
the number of processes that the user may have.
"""

import os
import resource
import select
import signal
import time
from collections.abc import Iterator
from typing import Final

from mta.delivery.content import ContentReader
from mta.delivery.maildir import crlf_to_lf
from mta.ipc.messages import CommandEnded, RunCommand
from mta.proto.status import temporary

__all__ = ["run_command"]

_SHELL: Final = "/bin/sh"
_OUTPUT_LIMIT: Final = 8192  # octets kept
_PIPE_SIZE: Final = 65536  # what may be left in a pipe
# All processes and threads of the user count, those of a desktop too: only a flood has more.
_PROCESSES: Final = 4096
# What sh(1) says of a command that is not there, or is none.
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126


def run_command(request: RunCommand, content: ContentReader, parent: int) -> CommandEnded:
    """Run the command to its end; MailError 451 if it could not be started.

    `parent` is a descriptor that hangs up when nobody is left to be told: then all ends at once.
    """
    deadline = time.monotonic() + request.seconds
    _limit_processes()
    try:
        os.chdir(request.directory)
    except OSError as error:
        temporary("4.3.5", "the command's directory cannot be entered", str(error))
    feed_reader, feed_writer = os.pipe2(os.O_CLOEXEC)
    output_reader, output_writer = os.pipe2(os.O_CLOEXEC)
    try:
        command = _spawn(request, feed_reader, output_writer)
    except (FileNotFoundError, NotADirectoryError) as error:
        return CommandEnded(_NOT_FOUND, False, _said(request, error))
    except (PermissionError, IsADirectoryError) as error:
        return CommandEnded(_NOT_EXECUTABLE, False, _said(request, error))
    except OSError as error:
        temporary("4.3.0", "the command could not be started", str(error))
    os.close(feed_reader)
    os.close(output_writer)
    running = _Running(command, feed_writer, output_reader, _pieces(request, content))
    timed_out = not running.watch(deadline, parent)
    status = -signal.SIGKILL if timed_out else running.status()
    return CommandEnded(status, timed_out, bytes(running.output))


def _limit_processes() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = _PROCESSES if hard == resource.RLIM_INFINITY else min(_PROCESSES, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _spawn(request: RunCommand, feed: int, output: int) -> int:
    """Start the command; its pid."""
    environment = dict(request.environment)
    os.environ["PATH"] = environment.get("PATH", os.defpath)  # where posix_spawnp looks
    arguments = [_SHELL, "-c", request.arguments[0]] if request.shell else [*request.arguments]
    return os.posix_spawnp(
        arguments[0],
        arguments,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, feed, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ],
        setsigdef=[signal.SIGPIPE],
    )


def _said(request: RunCommand, error: OSError) -> bytes:
    return f"{request.arguments[0]}: {error.strerror}".encode()[:_OUTPUT_LIMIT]


def _pieces(request: RunCommand, content: ContentReader) -> Iterator[bytes]:
    if request.crlf:
        yield request.prefix.replace(b"\n", b"\r\n")
        yield from content.chunks()
    else:
        yield request.prefix
        yield from crlf_to_lf(content.chunks())


class _Running:
    """The command while it runs."""

    def __init__(self, pid: int, feed: int, outlet: int, pieces: Iterator[bytes]) -> None:
        self.output = bytearray()
        self._pid = pid
        self._process = os.pidfd_open(pid)
        self._feed = feed
        self._outlet = outlet
        self._pieces = pieces
        self._unread = b""
        self._poll = select.poll()
        for descriptor in (feed, outlet):
            os.set_blocking(descriptor, False)
        self._poll.register(feed, select.POLLOUT)
        self._poll.register(outlet, select.POLLIN)
        self._poll.register(self._process, select.POLLIN)

    def watch(self, deadline: float, parent: int) -> bool:
        """Feed it and read from it until it ends; False if it did not in time."""
        self._poll.register(parent, 0)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            ready = {descriptor for descriptor, _ in self._poll.poll(left * 1000)}
            if parent in ready:
                os.killpg(0, signal.SIGKILL)
            if self._feed in ready:
                self._give()
            if self._outlet in ready:
                self._listen()
            if self._process in ready:
                if self._outlet >= 0:
                    self._listen()  # what it said last
                return True

    def status(self) -> int:
        """Its exit status, or minus its signal, once it has ended."""
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _give(self) -> None:
        """Write what the pipe takes; then, or when it is not read any more, close it."""
        try:
            while True:
                self._unread = self._unread or next(self._pieces)
                written = os.write(self._feed, self._unread)
                self._unread = self._unread[written:]
        except BlockingIOError:
            return
        except (BrokenPipeError, StopIteration):
            self._poll.unregister(self._feed)
            os.close(self._feed)
            self._feed = -1

    def _listen(self) -> None:
        """Read what is there, at most as much as a pipe holds: a flood must not hold us up."""
        try:
            data = os.read(self._outlet, _PIPE_SIZE)
        except BlockingIOError:
            return
        if data:
            self.output += data[: _OUTPUT_LIMIT - len(self.output)]
        else:
            self._poll.unregister(self._outlet)
            os.close(self._outlet)
            self._outlet = -1
