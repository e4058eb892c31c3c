"""The process that stays: requests in, a child each, its answer out.

The law: this process forks and passes frames on; it looks no user up, opens no file of a user's,
and runs nothing. A child that says nothing, or nothing that makes sense, is a temporary refusal. A
child that has had its time is killed with its whole process group, as root, for a set-uid program
cannot be killed by the user that runs it.
"""

import os
import select
import signal
import socket
import time
from collections import deque
from contextlib import suppress
from functools import partial
from math import inf
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from mta.daemons.mailuser.backlog import Backlog, Waiting
from mta.daemons.mailuser.child import live
from mta.daemons.mailuser.user import Host, host_of
from mta.ipc.frames import (
    MALFORMED,
    Descriptors,
    FrameReader,
    encode,
    received_descriptors,
)
from mta.ipc.mailuser_times import COMMAND_GRACE, READING_TIME, STORING_TIME
from mta.ipc.messages import (
    FRAME_LIMIT,
    CommandEnded,
    Goodbye,
    MailuserReply,
    MailuserRequest,
    Message,
    ReadFile,
    Refused,
    RunCommand,
)
from mta.master.plain import PlainContext
from mta.proto.status import INTERNAL_ERROR, Status
from mta.util.descriptors import close_read
from mta.util.libc import keep_capabilities
from mta.util.peer import peer_credentials

__all__ = ["MailuserServer", "make_server"]

_CAPABILITIES: Final = (5, 6, 7)  # KILL: a child that is a user by now; SETGID, SETUID: to be one
_AGAIN: Final = 10.0  # seconds after which a child that does not die is killed once more

_BUSY: Final = Status(451, "4.3.2", "too many deliveries to users at once")


class _Client:
    """One connection: its socket, the highest number seen, and frames that wait to be read."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.last = 0
        self.waiting: deque[bytes] = deque()
        self.is_closed = False
        self.events = -1  # that are watched for; none yet


class _Job(Struct, frozen=True):
    """A request in hand, and the child that does it, which leads a process group of its own."""

    client: _Client
    number: int
    user: str
    child: int
    answer: socket.socket
    deadline: float  # monotonic
    reply: MailuserReply | None = None


def make_server(context: PlainContext) -> "MailuserServer":
    """The handler, with no more power than it needs from now on."""
    host = host_of(context.snapshot)
    keep_capabilities(_CAPABILITIES)
    return MailuserServer(context, host)


class MailuserServer:
    """At most `client_limit` children at once; as many requests again wait here."""

    def __init__(self, context: PlainContext, host: Host) -> None:
        self.served = 0
        self._log = context.log
        self._watch = context.watch
        self._host = host
        self._clients: set[_Client] = set()
        self._jobs: dict[int, _Job] = {}  # by the child's pidfd
        self._backlog = Backlog[_Client](context.service.client_limit)
        self._retiring = False
        self._requests = FrameReader[MailuserRequest](MailuserRequest)
        self._replies = FrameReader[MailuserReply](MailuserReply)

    # The handler, as the skeleton sees it

    @property
    def clients(self) -> int:
        """Connected now."""
        return len(self._clients)

    @property
    def busy(self) -> bool:
        """Whether a child runs, or an answer has not been read."""
        return bool(self._jobs or self._backlog) or any(client.waiting for client in self._clients)

    def admit(self, client: socket.socket) -> None:
        """Serve one client."""
        admitted = _Client(client)
        self._clients.add(admitted)
        self._adjust(admitted)

    def look(self, now: float) -> float:
        """End what has had its time; return when the next one has."""
        for waiting in self._backlog.expired(now):
            self._refuse(waiting, Refused(_BUSY, f"{len(self._jobs)} for all users"))
        for pidfd, job in self._jobs.items():
            if now >= job.deadline:
                self._log.warning("child_killed", user=job.user, child=job.child)
                _kill(job.child)
                self._jobs[pidfd] = replace(job, deadline=now + _AGAIN)
        deadlines = (job.deadline for job in self._jobs.values())
        return min(self._backlog.next_expiry, *deadlines, inf)

    def retire(self) -> None:
        """Say Goodbye to each client; their requests in hand are still answered."""
        self._retiring = True
        for client in list(self._clients):
            self._send(client, encode(0, Goodbye(client.last)))
            self._adjust(client)

    def abort(self) -> None:
        """Kill all children: what they did is not known, and clients try again."""
        for job in self._jobs.values():
            _kill(job.child)

    # Clients

    @property
    def _has_room(self) -> bool:
        return not self._retiring and self._backlog.has_room

    def _adjust(self, client: _Client) -> None:
        """Watch for what this client may do next."""
        if client.is_closed:
            return
        reads = self._has_room and not client.waiting
        events = (select.POLLIN if reads else 0) | (select.POLLOUT if client.waiting else 0)
        if events == client.events:
            return
        client.events = events
        # Its end is always heard of: POLLHUP needs no asking.
        self._watch.add(client.socket.fileno(), partial(self._ready, client), events)

    def _ready(self, client: _Client) -> None:
        if client.waiting:
            self._flush(client)
        elif self._has_room:
            self._receive(client)
        else:  # it hung up; what it may have sent is not begun
            self._drop(client)

    def _receive(self, client: _Client) -> None:
        try:
            data, ancillary, flags, _ = client.socket.recvmsg(
                FRAME_LIMIT, self._requests.ancillary_size, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError as error:
            self._log.warning("ipc_lost", reason=str(error))
            self._drop(client)
            return
        descriptors = received_descriptors(ancillary)
        if data:
            self._take(client, data, descriptors, flags)
        else:
            _close_all(descriptors)
            self._drop(client)

    def _take(self, client: _Client, data: bytes, descriptors: Descriptors, flags: int) -> None:
        try:
            number, request = self._requests.take(data, descriptors, flags)
            if number <= client.last:
                raise ValueError(f"number {number} after {client.last}")
        except MALFORMED as error:
            pid, uid = peer_credentials(client.socket)
            reason = str(error)[:500]
            _close_all(descriptors)
            self._log.error("ipc_malformed", socket="server", peer=pid, uid=uid, reason=reason)
            self._drop(client)
            return
        client.last = number
        self.served += 1
        self._backlog.add(client, number, request, descriptors, time.monotonic())
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        """Begin what there are places for, and read on where others may wait."""
        while waiting := self._backlog.next(job.user for job in self._jobs.values()):
            try:
                self._begin(waiting)
            except OSError as error:  # no process, no descriptor
                self._refuse(waiting, Refused(INTERNAL_ERROR, str(error)))
            else:
                _close_all(waiting.descriptors)  # the child has its own by now
        for client in self._clients:
            self._adjust(client)

    def _refuse(self, waiting: Waiting[_Client], refused: Refused) -> None:
        _close_all(waiting.descriptors)
        self._answer(waiting.client, waiting.number, waiting.request.user, refused)

    def _answer(self, client: _Client, number: int, user: str, reply: Message) -> None:
        if isinstance(reply, Refused):
            text = str(reply.status)
            self._log.warning("request_refused", user=user, text=text, reason=reply.reason)
        self._send(client, encode(number, reply))

    def _send(self, client: _Client, frame: bytes) -> None:
        if not client.is_closed:
            client.waiting.append(frame)
            self._flush(client)

    def _flush(self, client: _Client) -> None:
        while client.waiting:
            try:
                client.socket.send(client.waiting[0])
            except BlockingIOError:
                break
            except OSError as error:
                self._log.warning("ipc_lost", reason=str(error))
                self._drop(client)
                return
            client.waiting.popleft()
        self._adjust(client)

    def _drop(self, client: _Client) -> None:
        """Close; what has begun goes on, for a delivery cannot be taken back."""
        for waiting in self._backlog.of(client):
            _close_all(waiting.descriptors)
        self._clients.discard(client)
        client.waiting.clear()
        client.is_closed = True
        self._watch.remove(client.socket.fileno())
        client.socket.close()

    # Children

    def _begin(self, waiting: Waiting[_Client]) -> None:
        request = waiting.request
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                child = os.fork()
            except OSError:
                ours.close()
                raise
            if child == 0:
                live(theirs, waiting.number, request, waiting.descriptors, self._host)
        try:
            pidfd = os.pidfd_open(child)
        except OSError:
            _kill(child)
            os.waitpid(child, 0)
            ours.close()
            raise
        ours.setblocking(False)
        deadline = time.monotonic() + _seconds_for(request)
        self._jobs[pidfd] = _Job(
            waiting.client, waiting.number, request.user, child, ours, deadline
        )
        self._watch.add(ours.fileno(), partial(self._answered, pidfd))
        self._watch.add(pidfd, partial(self._ended, pidfd))

    def _answered(self, pidfd: int) -> None:
        """Take the answer; what must not go on is killed while the child still waits for that."""
        job = self._jobs[pidfd]
        self._watch.remove(job.answer.fileno())
        reply = self._reply_of(job)
        self._jobs[pidfd] = replace(job, reply=reply)
        if isinstance(reply, Refused) or (isinstance(reply, CommandEnded) and reply.timed_out):
            _kill(job.child)

    def _ended(self, pidfd: int) -> None:
        """Pass the answer on, once nothing can come of the child any more."""
        if self._jobs[pidfd].reply is None:
            self._answered(pidfd)
        job = self._jobs.pop(pidfd)
        self._watch.remove(pidfd)
        close_read(pidfd)
        os.waitpid(job.child, 0)
        job.answer.close()
        reply = job.reply or Refused(INTERNAL_ERROR, "no answer")
        self._answer(job.client, job.number, job.user, reply)
        self._begin_waiting()

    def _reply_of(self, job: _Job) -> MailuserReply:
        try:
            data = job.answer.recv(FRAME_LIMIT)
            if not data:
                return Refused(INTERNAL_ERROR, "the child died without an answer")
            _, reply = self._replies.take(data, (), 0)
        except (OSError, *MALFORMED) as error:
            return Refused(INTERNAL_ERROR, f"the child's answer: {error}"[:500])
        return reply


def _close_all(descriptors: Descriptors) -> None:
    for descriptor in descriptors:
        close_read(descriptor)


def _seconds_for(request: MailuserRequest) -> float:
    match request:
        case RunCommand():
            return request.seconds + COMMAND_GRACE
        case ReadFile():
            return READING_TIME
        case _:
            return STORING_TIME


def _kill(child: int) -> None:
    """Kill the child and its process group; the child is ours to reap, so it still has its pid."""
    for kill in (os.killpg, os.kill):  # it may not lead a group yet
        with suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)
