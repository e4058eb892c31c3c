"""A program that takes a message on its standard input: fed, heard, and ended in time.

The law: the program's end decides, nothing else (mta.delivery.conversation). Of its output the
first kilobytes are kept, much is dropped, and a flood is stopped by SIGPIPE. When time is up, all
of its process group is killed: what has left that group goes on, as it may (setsid(2)).

The program gets its arguments as they are, no shell in between; the environment that is named and
nothing else; standard input, output and error, and no other descriptor. Its calls block: no loop.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from mta.delivery.conversation import Conversation, End
from mta.ipc.messages import CommandEnded

__all__ = ["run_command"]

_OUTPUT_LIMIT: Final = 4096  # octets that are kept
_FLOOD: Final = 1024 * 1024  # octets that are read at most
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
    conversation = Conversation(pieces, kept=_OUTPUT_LIMIT, most=_FLOOD)
    try:
        process = subprocess.Popen(  # noqa: S603 - to run what it is given is its task
            arguments,
            stdin=conversation.standard_input,
            stdout=conversation.standard_output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )
        try:
            conversation.begin(process.pid)
            timed_out = conversation.hold(time.monotonic() + seconds) is End.LATE
        except BaseException:
            _end(process)
            raise
        if timed_out:
            _kill(process)
        try:
            status = process.wait(_AFTERMATH)
        except subprocess.TimeoutExpired as error:
            # It sleeps in the kernel, on a dead file server perhaps: nobody can end it.
            raise OSError(f"{arguments[0]}: cannot be killed") from error
    finally:
        conversation.close()
    return CommandEnded(status, timed_out, bytes(conversation.output))


def _end(process: subprocess.Popen[bytes]) -> None:
    _kill(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_AFTERMATH)


def _kill(process: subprocess.Popen[bytes]) -> None:
    # The group bears the number of its first process, which nobody else gets before our wait.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
