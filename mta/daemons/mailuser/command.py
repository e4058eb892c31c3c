"""Running a command as a user, with the message on its standard input.

    standard input            the message; a command need not read it
    standard output, error    a pipe: the beginning is kept, the rest read and thrown away
    environment               what the request says
    limits                    time; processes of the user; no core files (from the parent)

The law: the command's own end is the end (mta.delivery.conversation). What it has left in the
background goes on, as in Postfix. When the time is up, the parent kills the whole process group;
what has made itself a session of its own has left it, and is bounded by the number of processes
that the user may have.
"""

import os
import signal
import time
from collections.abc import Iterator
from typing import Final

from mta.delivery.content import ContentReader
from mta.delivery.conversation import Conversation, End
from mta.delivery.maildir import crlf_to_lf
from mta.ipc.messages import CommandEnded, RunCommand
from mta.proto.status import temporary
from mta.util.processes import limit_processes

__all__ = ["run_command"]

_SHELL: Final = "/bin/sh"
_OUTPUT_LIMIT: Final = 8192  # octets kept
# What sh(1) says of a command that is not there, or is none.
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126


def run_command(request: RunCommand, content: ContentReader, parent: int) -> CommandEnded:
    """Run the command to its end; MailError 451 if it could not be started.

    `parent` is a descriptor that hangs up when nobody is left to be told: then all ends at once.
    """
    deadline = time.monotonic() + request.seconds
    limit_processes()
    try:
        os.chdir(request.directory)
    except OSError as error:
        temporary("4.3.5", "the command's directory cannot be entered", str(error))
    # Never closed: the command's input must not end before it is killed (mailuser.child).
    conversation = Conversation(_pieces(request, content), kept=_OUTPUT_LIMIT)
    try:
        command = _spawn(request, conversation)
    except (FileNotFoundError, NotADirectoryError) as error:
        return CommandEnded(_NOT_FOUND, False, _said(request, error))
    except (PermissionError, IsADirectoryError) as error:
        return CommandEnded(_NOT_EXECUTABLE, False, _said(request, error))
    except OSError as error:
        temporary("4.3.0", "the command could not be started", str(error))
    conversation.begin(command)
    match conversation.hold(deadline, parent):
        case End.ENDED:
            status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
            return CommandEnded(status, False, bytes(conversation.output))
        case End.LATE:
            return CommandEnded(-signal.SIGKILL, True, bytes(conversation.output))
        case End.ALONE:
            os.killpg(0, signal.SIGKILL)
            raise AssertionError


def _spawn(request: RunCommand, conversation: Conversation) -> int:
    """Start the command; its pid."""
    environment = dict(request.environment)
    os.environ["PATH"] = environment.get("PATH", os.defpath)  # where posix_spawnp looks
    arguments = [_SHELL, "-c", request.arguments[0]] if request.shell else [*request.arguments]
    return os.posix_spawnp(
        arguments[0],
        arguments,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, conversation.standard_input, 0),
            (os.POSIX_SPAWN_DUP2, conversation.standard_output, 1),
            (os.POSIX_SPAWN_DUP2, conversation.standard_output, 2),
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
