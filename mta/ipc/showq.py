"""Client of showq for a command: it waits for answers, and nothing else goes on meanwhile."""

import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from mta.ipc.client import Unavailable
from mta.ipc.connection import close_all
from mta.ipc.frames import MALFORMED, FrameReader, encode, received_descriptors
from mta.ipc.messages import (
    FRAME_LIMIT,
    Accepted,
    Flush,
    FlushDomain,
    Goodbye,
    Listed,
    ListQueue,
    Refused,
    ShowqReply,
    ShowqRequest,
)
from mta.proto.status import MailError

__all__ = ["ShowqClient"]

_NUMBER: Final = 1  # a connection has one request
_ATTEMPTS: Final = 5  # each ends because a process retired: that many in a row do not


class ShowqClient:
    """Asks what users may ask; `timeout` is seconds without anything being said.

    All methods raise MailError for what is refused, its kind `Unavailable` where no answer comes
    that makes sense, and OSError where nobody listens.
    """

    def __init__(self, timeout: float, path: str = "public/showq") -> None:
        self._timeout = timeout
        self._path = path
        self._reader = FrameReader[Listed | Accepted | Refused | Goodbye](ShowqReply)

    def listing(self) -> Iterator[Listed]:
        """The parts of the list as they come, the last one included."""
        for reply in self._ask(ListQueue()):
            if not isinstance(reply, Listed):
                raise self._nonsense(reply)
            yield reply
            if not reply.more:
                return

    def flush(self, queue_id: str = "") -> int:
        """Have one message tried now, or all; the number of those that waited."""
        return self._count(Flush(queue_id))

    def flush_domain(self, domain: str) -> int:
        """Have tried now what waits for a domain; the number of messages."""
        return self._count(FlushDomain(domain))

    def _count(self, request: ShowqRequest) -> int:
        reply = next(self._ask(request))
        if not isinstance(reply, Accepted):
            raise self._nonsense(reply)
        return reply.count

    def _ask(self, request: ShowqRequest) -> Iterator[Listed | Accepted]:
        """The replies to one request; a process that retires has not looked at it."""
        for _ in range(_ATTEMPTS):
            with closing(self._connect()) as peer:
                self._send(peer, request)
                while True:
                    reply = self._receive(peer)
                    if isinstance(reply, Refused):
                        raise MailError(reply.status, reply.reason)
                    if not isinstance(reply, Goodbye):
                        yield reply
                    elif reply.last < _NUMBER:
                        break
        raise Unavailable(f"{self._path}: has just retired")

    def _connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        peer.settimeout(self._timeout)
        try:
            peer.connect(self._path)
        except BaseException:
            peer.close()
            raise
        return peer

    def _send(self, peer: socket.socket, request: ShowqRequest) -> None:
        try:
            peer.send(encode(_NUMBER, request))
        except (BrokenPipeError, ConnectionResetError):
            return  # what it said before it hung up is still to be read
        except OSError as error:
            raise Unavailable(f"{self._path}: {error}") from error

    def _receive(self, peer: socket.socket) -> Listed | Accepted | Refused | Goodbye:
        while True:
            try:
                data, ancillary, flags, _ = peer.recvmsg(FRAME_LIMIT, self._reader.ancillary_size)
            except ConnectionResetError:  # told once, before what was said (unix(7))
                continue
            except TimeoutError as error:
                reason = f"{self._path}: no answer within {self._timeout:g} s"
                raise Unavailable(reason) from error
            except OSError as error:
                raise Unavailable(f"{self._path}: {error}") from error
            break
        close_all(received_descriptors(ancillary))
        if not data:
            raise Unavailable(f"{self._path}: the connection was lost: too many of this user's?")
        try:
            return self._reader.take(data, (), flags)[1]
        except MALFORMED as error:
            raise Unavailable(f"{self._path}: no sound answer: {error}") from error

    def _nonsense(self, reply: object) -> Unavailable:
        return Unavailable(f"{self._path}: {type(reply).__name__} is no answer to that")
