"""The process of one request: it becomes the user, does one thing, says what became of it, ends.

It is forked and not executed: no thread, loop or lock was there to be copied in a bad state, and
until an execve the kernel lets no process of the user's look into it. What is left from its parent
is undone first. It leads a session and a process group, so that a command that it runs is killed
with it.
"""

import os
import resource
import select
import signal
import socket
import traceback
from typing import Final, NoReturn

from mta.daemons.mailuser.command import run_command
from mta.daemons.mailuser.mailbox import store_message
from mta.daemons.mailuser.reading import read_file
from mta.daemons.mailuser.user import Host, become, find_user, open_spool
from mta.delivery.content import ContentReader
from mta.ipc.frames import Descriptors, encode
from mta.ipc.messages import (
    CommandEnded,
    MailuserReply,
    MailuserRequest,
    ReadFile,
    Refused,
    RunCommand,
    StoreMessage,
)
from mta.proto.status import INTERNAL_ERROR, MailError
from mta.util.libc import no_new_privileges, not_dumpable

__all__ = ["live"]

_REASON_LIMIT: Final = 1024  # characters of Refused.reason
_STANDARD: Final = (0, 1, 2)


def live(
    answer: socket.socket,
    number: int,
    request: MailuserRequest,
    descriptors: Descriptors,
    host: Host,
) -> NoReturn:
    """Be the child, in a process that has just been forked; whatever happens, it ends here."""
    status = os.EX_SOFTWARE
    try:
        reply = _reply_to(request, descriptors, host, answer)
        answer.send(encode(number, reply))
        if isinstance(reply, Refused) or (isinstance(reply, CommandEnded) and reply.timed_out):
            _await_death(answer)
        status = os.EX_OK
    finally:
        # No handler, buffer or exception of the parent's may live on in here.
        os._exit(status)


def _await_death(answer: socket.socket) -> NoReturn:
    """Wait to be killed, with the command that may still run, by the parent or for want of it.

    To end would close the command's input, which it could take for the end of the message.
    """
    waiting = select.poll()
    waiting.register(answer, 0)  # hears of the end of the connection alone
    waiting.poll()
    os.killpg(0, signal.SIGKILL)
    raise AssertionError


def _part_from_parent(answer: socket.socket, descriptors: Descriptors) -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a reader that is gone is an error, no death
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    os.umask(0o077)
    os.environ.clear()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in _STANDARD:
        os.dup2(null, standard)
    _close_all_but({*_STANDARD, answer.fileno(), *descriptors})


def _close_all_but(kept: set[int]) -> None:
    first = 0
    for end in (*sorted(kept), resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
        if first < end:
            os.closerange(first, end)
        first = end + 1


def _reply_to(
    request: MailuserRequest, descriptors: Descriptors, host: Host, answer: socket.socket
) -> MailuserReply:
    try:
        _part_from_parent(answer, descriptors)
        user = find_user(request.user, host)
        match request:
            case ReadFile():
                become(user)
                _never_execute()
                return read_file(request, user)
            case StoreMessage():
                spool = open_spool(user, request.path)
                become(user, *(() if spool is None else (spool.group,)))
                _never_execute()
                content = _content(request, descriptors)
                return store_message(request, content, host.name, spool)
            case RunCommand():
                become(user)
                not_dumpable()
                return run_command(request, _content(request, descriptors), answer.fileno())
    except MailError as error:
        return Refused(error.status, error.reason[:_REASON_LIMIT])
    except Exception:  # noqa: BLE001 - whatever it is, it is this request's alone
        return Refused(INTERNAL_ERROR, traceback.format_exc()[-_REASON_LIMIT:])


def _never_execute() -> None:
    """What only opens files gets no other privilege. A command may: set-gid helpers need it."""
    not_dumpable()
    no_new_privileges()


def _content(request: StoreMessage | RunCommand, descriptors: Descriptors) -> ContentReader:
    return ContentReader(descriptors[0], request.content_offset, request.content_length)
