"""One SEQPACKET connection between two daemons: frames of typed messages, both ways.

A packet that is no frame (mta.ipc.frames) of the types that may arrive is logged, and the
connection closed. The event loop calls back; raw sockets, because neither asyncio nor uvloop has
SEQPACKET transports or passes descriptors.
"""

import array
import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from mta.ipc.frames import (
    MALFORMED,
    Descriptors,
    FrameReader,
    MessageTypes,
    encode,
    received_descriptors,
)
from mta.ipc.messages import FRAME_LIMIT, Message
from mta.util.descriptors import close_read
from mta.util.log import Log
from mta.util.peer import peer_credentials

__all__ = ["Connection", "Descriptors", "MessageTypes", "close_all", "encode"]

Body = TypeVar("Body", bound=Message)

QUEUE_LIMIT: Final = 64  # frames that wait for a peer to read
# A plain number: to combine enumerators costs more than to receive a frame.
_RECEIVE_FLAGS: Final = int(socket.MSG_CMSG_CLOEXEC)
# Frames are decoded, that is copied out, before the next one is read: one buffer does for all.
_BUFFER: Final = bytearray(FRAME_LIMIT)
_VIEW: Final = memoryview(_BUFFER)


def close_all(descriptors: Iterable[int]) -> None:
    """Close received descriptors: of files that are only read."""
    for descriptor in descriptors:
        close_read(descriptor)


class Connection(Generic[Body]):
    """A connected socket, owned and closed here; OSError when the loop cannot watch it.

    `received(number, body, descriptors)` is called for each frame; the descriptors, close-on-exec,
    belong to the callee. `closed(reason)` is called exactly once, from the loop or from `close`;
    `reason` is empty at the peer's end of file and at our own close.
    """

    def __init__(
        self,
        peer: socket.socket,
        loop: asyncio.AbstractEventLoop,
        body_type: MessageTypes,
        *,
        name: str,
        log: Log,
        received: Callable[[int, Body, Descriptors], None],
        closed: Callable[[str], None],
    ) -> None:
        self.malformed = False  # the peer broke the protocol
        self.is_closed = False
        self.when_drained: Callable[[], None] | None = None  # called when no frame waits any more
        self._socket = peer
        self._loop = loop
        self._name = name
        self._log = log
        self._received = received
        self._on_closed = closed
        reader = FrameReader[Body](body_type)
        self._take_frame = reader.take
        self._ancillary_size = reader.ancillary_size
        self._queue: deque[tuple[bytes, Descriptors]] = deque()
        self._reading = True
        self._was_reset = False
        self._send_failed = False
        self._closing = False
        loop.add_reader(peer, self.read)

    # Sending

    @property
    def congested(self) -> bool:
        """Whether frames wait for the peer to read: send no more until `when_drained`."""
        return bool(self._queue)

    def send(self, number: int, body: Message, descriptors: Descriptors = ()) -> None:
        """Send one message; the descriptors must stay open while the connection is congested."""
        self.send_frame(encode(number, body), descriptors)

    def send_frame(self, frame: bytes, descriptors: Descriptors = ()) -> None:
        """Send one encoded frame; on a dead connection nothing happens.

        A peer that lets `QUEUE_LIMIT` frames wait is given up.
        """
        if self.is_closed or self._send_failed:
            return
        if self._queue:
            self._queue.append((frame, descriptors))
            if len(self._queue) > QUEUE_LIMIT:
                self._end("the peer does not read")
        elif not self._try_send(frame, descriptors) and not self.is_closed:
            self._queue.append((frame, descriptors))
            self._loop.add_writer(self._socket, self._writable)

    @property
    def send_failed(self) -> bool:
        """Whether the peer was found gone while sending; what it said before may still arrive."""
        return self._send_failed

    def _try_send(self, frame: bytes, descriptors: Descriptors) -> bool:
        """Whether the frame is dealt with; packets are sent whole or not at all."""
        try:
            if descriptors:
                ancillary = array.array("i", descriptors)
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, ancillary)
                self._socket.sendmsg((frame,), (rights,))
            else:
                self._socket.send(frame)
        except (BlockingIOError, InterruptedError):
            return False
        except (BrokenPipeError, ConnectionResetError):
            # The peer closed, perhaps after replies and a Goodbye that we have not read yet: the
            # reader goes on until it meets the end of file.
            self._send_failed = True
        except OSError as error:  # EMSGSIZE, ENOBUFS, ETOOMANYREFS ...: lost as far as we know
            self._end(f"send: {error}")
        return True

    def _writable(self) -> None:
        while self._queue:
            if not self._try_send(*self._queue[0]) or self.is_closed:
                return
            if self._send_failed:
                break
            self._queue.popleft()
        self._stop_writing()
        if self._closing:
            self._end("")
        elif self.when_drained is not None:
            self.when_drained()

    def _stop_writing(self) -> None:
        self._queue.clear()
        self._loop.remove_writer(self._socket)

    # Receiving

    def pause(self) -> None:
        """Read no further frame for now."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)

    def resume(self) -> None:
        """Read again."""
        if self._reading or self.is_closed:
            return
        try:
            self._loop.add_reader(self._socket, self.read)
        except OSError as error:  # no memory, or too many are watched: epoll_ctl(2)
            self._end(f"watch: {error}")
        else:
            self._reading = True

    def read(self) -> None:
        """Take one frame, if one has arrived: the loop calls again while there are more.

        So no peer starves the others, and a frame costs no second look that finds nothing.
        """
        self._receive()
        while self._was_reset and self._reading:  # the loop does not call for such a socket again
            self._receive()

    def _receive(self) -> None:
        try:
            size, ancillary, flags, _ = self._socket.recvmsg_into(
                (_BUFFER,), self._ancillary_size, _RECEIVE_FLAGS
            )
        except (BlockingIOError, InterruptedError):
            if self._was_reset:  # without an end of file behind it nothing more would be heard
                self._end("reset")
            return
        except ConnectionResetError:
            # The peer closed with frames of ours unread. The kernel reports that once, before what
            # the peer had sent: read on, to the end of file.
            self._was_reset = True
            return
        except OSError as error:
            self._end(f"receive: {error}")
            return
        if size == 0:
            close_all(received_descriptors(ancillary))
            self._end("")
            return
        self._take(size, received_descriptors(ancillary) if ancillary else (), flags)

    def _take(self, size: int, descriptors: Descriptors, flags: int) -> None:
        try:
            number, body = self._take_frame(_VIEW[:size], descriptors, flags)
        except MALFORMED as error:
            close_all(descriptors)
            self.refuse(str(error))
            return
        self._received(number, body, descriptors)

    # Ending

    def refuse(self, reason: str) -> None:
        """Close, and say in the log that the peer broke the protocol."""
        if self.is_closed:
            return
        self.malformed = True
        pid, uid = peer_credentials(self._socket)
        self._log.error("ipc_malformed", socket=self._name, peer=pid, uid=uid, reason=reason[:500])
        self._end(f"malformed: {reason}")

    def finish(self) -> None:
        """Close when the frames that wait have been sent."""
        if self._queue:
            self._closing = True
            self.pause()
        else:
            self._end("")

    def close(self) -> None:
        """Close now; frames that wait are lost."""
        self._end("")

    def _end(self, reason: str) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self.pause()
        self._stop_writing()
        self._socket.close()
        self._on_closed(reason)
