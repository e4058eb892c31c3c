"""The medium's server, without a kernel: what a flush covers."""

import os
import socket
import struct
from collections.abc import Iterator

import pytest
from reliability.filesystems.history import Barrier, Write, read_log
from reliability.filesystems.server import Operation, Server

HEADER = struct.Struct("=IIQQIIII")
EXTENT = struct.Struct("=QQI20x")
ANSWER = struct.Struct("=IiQ")
SIZE = 1 << 16


class Kernel:
    """The other end of /dev/fuse: a message is a request or an answer."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.log = os.memfd_create("log")
        self._theirs = theirs
        self.server = Server(theirs.fileno(), SIZE, self.log)
        self._sent = 0

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()
        os.close(self.log)

    def ask(self, operation: int, body: bytes = b"") -> None:
        self._sent += 1
        length = HEADER.size + len(body)
        self._ours.send(HEADER.pack(length, operation, self._sent, 1, 0, 0, 0, 0) + body)

    def write(self, offset: int, data: bytes) -> None:
        self.ask(Operation.WRITE, EXTENT.pack(0, offset, len(data)) + bytes(0) + data)

    def answer(self) -> tuple[int, int, bytes]:
        """The number of the request, the error, and what follows."""
        octets = self._ours.recv(SIZE * 2)
        length, error, number = ANSWER.unpack_from(octets)
        assert length == len(octets)
        return number, error, octets[ANSWER.size :]

    def records(self) -> list[Write | Barrier]:
        return list(read_log(os.pread(self.log, SIZE, 0)).records)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def test_what_was_written_is_read_and_remembered(kernel: Kernel) -> None:
    kernel.write(4096, b"octets")
    assert kernel.server.turn()
    assert kernel.answer() == (1, 0, struct.pack("=II", 6, 0))
    kernel.ask(Operation.READ, EXTENT.pack(0, 4095, 8))
    assert kernel.server.turn()
    assert kernel.answer() == (2, 0, b"\0octets\0")
    (write,) = kernel.records()
    assert isinstance(write, Write)
    assert (write.offset, bytes(write.data)) == (4096, b"octets")


def test_a_flush_covers_what_was_answered_before(kernel: Kernel) -> None:
    kernel.write(0, b"first")
    kernel.server.turn()
    kernel.write(8, b"second")
    kernel.ask(Operation.FSYNC, bytes(16))  # side by side with the second
    kernel.server.turn()
    kernel.ask(Operation.FSYNC, bytes(16))
    kernel.server.turn()
    first, second, early, late = kernel.records()
    assert isinstance(early, Barrier)
    assert isinstance(late, Barrier)
    assert early.covers == first.position
    assert late.covers >= second.position


def test_what_is_unknown_is_refused(kernel: Kernel) -> None:
    kernel.ask(1000)
    kernel.server.turn()
    number, error, rest = kernel.answer()
    assert (number, os.strerror(-error), rest) == (1, "Function not implemented", b"")
