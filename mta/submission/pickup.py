"""The door to a running system: pickup's socket, which every user of the host may connect to.

The kernel tells pickup who connects. The messages are cleanup's: frames, then one answer. A pickup
that retires says so before it looks at the message, and so does one that serves this user often
enough already: then the next one gets it, as far as it is still in memory, and if none takes it the
other door. Once a message is sent and no answer comes, nothing is known: that is a temporary
failure, and another attempt may make a second copy.
"""

import os
import select
import socket
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from mta.ipc.messages import (
    FRAME_LIMIT,
    PROTOCOL_VERSION,
    Begin,
    CleanupReply,
    Committed,
    Goodbye,
    More,
)
from mta.queue.maildrop import Submission
from mta.submission.doors import Door, Framer
from mta.submission.errors import SubmissionError, unavailable

__all__ = ["PickupDoor"]

_PATH: Final = "public/pickup"
_NUMBER: Final = 1  # a connection has one message
_REPLAY_LIMIT: Final = 1 << 20  # octets kept for the next pickup
_ATTEMPTS: Final = 5  # each ends because a process retired: that many in a row do not
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(tuple[Literal[1], int, CleanupReply])


class PickupDoor:
    """One message to pickup: a Door. OSError if nobody listens; `otherwise` is the other door."""

    def __init__(
        self,
        queue_directory: str,
        submission: Submission,
        timeout: float,
        otherwise: Callable[[], Door],
    ) -> None:
        self._queue_directory = queue_directory
        self._timeout = timeout
        self._otherwise = otherwise
        self._other: Door | None = None  # once no pickup takes the message
        self._framer = Framer(submission)
        self._sent: list[Begin | More] = []
        self._replayable = True
        self._attempts = 1
        self._peer = self._connect()

    def write(self, data: bytes) -> None:
        """Add content; SubmissionError as soon as it is known that the message is not taken."""
        for frame in self._framer.add(data):
            self._send(frame)

    def commit(self) -> None:
        """Wait for the answer: the message is in the queue, or SubmissionError says why not."""
        self._send(self._framer.end())
        while self._other is None and not self._settled(self._answer()):
            pass
        if self._other is not None:
            self._other.commit()

    def close(self) -> None:
        """Hang up."""
        self._peer.close()
        if self._other is not None:
            self._other.close()

    def _connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        peer.settimeout(self._timeout)
        # A socket's path has at most 107 octets, the folder's may be longer.
        folder = os.open(self._queue_directory, _FOLDER)
        try:
            peer.connect(f"/proc/self/fd/{folder}/{_PATH}")
        except BaseException:
            peer.close()
            raise
        finally:
            os.close(folder)
        peer.setblocking(False)
        return peer

    def _send(self, frame: Begin | More) -> None:
        if self._other is None:
            self._look()
        if self._other is not None:
            self._other.write(frame.content)
            return
        if self._replayable:
            self._sent.append(frame)
            if sum(len(each.content) for each in self._sent) > _REPLAY_LIMIT:
                self._sent.clear()
                self._replayable = False
        self._transmit(frame)

    def _transmit(self, frame: Begin | More) -> None:
        data = _encoder.encode((PROTOCOL_VERSION, _NUMBER, frame))
        while True:
            try:
                self._peer.send(data)
                return
            except BlockingIOError:
                self._wait(select.POLLOUT)
            except (BrokenPipeError, ConnectionResetError):
                self._settled(self._answer())  # why it hung up
                return
            except OSError as error:
                raise unavailable(f"pickup: {error}") from error

    def _look(self) -> None:
        """Whether there is an answer already: then it is a refusal, or a farewell."""
        data = self._receive()
        if data is not None and self._settled(data):
            raise unavailable("pickup: committed before the end of the message")

    def _answer(self) -> bytes:
        """The next packet; empty at the end of the connection."""
        while (data := self._receive()) is None:
            self._wait(select.POLLIN)
        return data

    def _receive(self) -> bytes | None:
        """The next packet, if there is one."""
        while True:
            try:
                return self._peer.recv(FRAME_LIMIT)
            except BlockingIOError:
                return None
            except ConnectionResetError:  # told once, before what was said (unix(7))
                continue
            except OSError as error:
                raise unavailable(f"pickup: {error}") from error

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._peer, event)
        if not poll.poll(self._timeout * 1000):
            raise unavailable(f"pickup: no answer within {self._timeout:g} s")

    def _settled(self, data: bytes) -> bool:
        """Whether the message is in the queue; False: the next pickup or other door has it now."""
        if not data:
            raise unavailable("pickup: the connection was lost")
        try:
            _, _, reply = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise unavailable(f"pickup: no sound answer: {error}") from error
        if isinstance(reply, Committed):
            return True
        if not isinstance(reply, Goodbye):
            raise SubmissionError.refused(reply.status)
        if reply.last < _NUMBER:
            self._begin_again()
        return False

    def _begin_again(self) -> None:
        """Have the next process take the message: this one has not looked at it."""
        self._attempts += 1
        if not self._replayable:
            raise unavailable("pickup: has just retired")
        self._peer.close()
        if self._attempts > _ATTEMPTS:
            self._take_other()
            return
        try:
            self._peer = self._connect()
        except OSError:
            self._take_other()
            return
        attempt = self._attempts
        for frame in tuple(self._sent):
            self._transmit(frame)
            if self._attempts != attempt:
                return  # that one has retired as well, and another has all of it

    def _take_other(self) -> None:
        """Put the message through the other door, as far as it is said."""
        self._other = self._otherwise()
        for frame in self._sent:
            self._other.write(frame.content)
