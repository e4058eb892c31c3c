"""The medium: a file system of one file (FUSE) that remembers every write and every flush.

    python -I server.py FILE SIZE LOG     FILE is mounted upon; LOG is the descriptor of the log

The law: what is written is in the log before the writer hears that it is done, and a flush before
the flusher does. A flush covers what was answered before it was asked for, no more: requests are
taken in before each answer, so that those which wait side by side are known as such.

It stands alone on the standard library, in a process of its own with all its data in memory: the
kernel waits for it while it writes out other processes' pages. It ends when FILE is unmounted.
"""

import ctypes
import enum
import errno
import mmap
import os
import select
import stat
import struct
import sys
from collections import deque
from typing import Final

__all__ = ["BARRIER", "RECORD", "WRITE", "Operation", "Server"]

RECORD: Final = struct.Struct("<BQI")  # kind; offset, or what the flush covers; octets behind
WRITE: Final = 0
BARRIER: Final = 1

# linux/fuse.h, of protocol 7.31: later kernels speak it, too.
_VERSION: Final = (7, 31)


class Operation(enum.IntEnum):
    """What the kernel asks for, as far as it is answered with more than ENOSYS."""

    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    INTERRUPT = 36
    BATCH_FORGET = 42


_UNANSWERED: Final = (Operation.FORGET, Operation.INTERRUPT, Operation.BATCH_FORGET)
_IN: Final = struct.Struct("=IIQQIIII")
_OUT: Final = struct.Struct("=IiQ")
_INIT_IN: Final = struct.Struct("=IIII")
_INIT_OUT: Final = struct.Struct("=IIIIHHIIHH32x")
_ATTRIBUTES: Final = struct.Struct("=QIIQQQQQQIIIIIIIIII")
_OPENED: Final = struct.Struct("=QII")
_EXTENT: Final = struct.Struct("=QQI20x")  # fuse_read_in and fuse_write_in
_WRITTEN: Final = struct.Struct("=II")


_WANTED: Final = 1 << 0 | 1 << 5 | 1 << 15 | 1 << 22  # ASYNC_READ BIG_WRITES ASYNC_DIO MAX_PAGES
_DIRECT_IO: Final = 1 << 0  # no page cache of ours between the loop device and the log
_LARGEST: Final = 1 << 20  # octets of one write
_PAGES: Final = _LARGEST // 4096
_BACKGROUND: Final = 64  # requests that the kernel has under way
_FOR_EVER: Final = 1 << 30  # seconds
_NOSUID_NODEV: Final = 2 | 4


class Server:
    """The octets, the log, and the kernel's requests, which come from the descriptor `fuse`."""

    def __init__(self, fuse: int, size: int, log: int) -> None:
        self._fuse = fuse
        self._size = size
        self._log = log
        self._octets = mmap.mmap(-1, size)
        self._waiting: deque[tuple[bytes, int]] = deque()  # and what was done when it came
        self._done = 0  # of the log: what its writers know to be done
        self._mounted = True

    def turn(self) -> bool:
        """Answer all requests that wait now; whether there will be more."""
        self._take()
        while self._waiting:
            self._answer(*self._waiting.popleft())
        return self._mounted

    def _take(self) -> None:
        """Take in all requests that wait now."""
        while self._mounted:
            try:
                self._waiting.append((os.read(self._fuse, _LARGEST + 65536), self._done))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENODEV:
                    self._mounted = False
                elif error.errno not in (errno.ENOENT, errno.EINTR):  # taken back by its sender
                    raise

    def _answer(self, request: bytes, done: int) -> None:
        _, operation, unique, *_ = _IN.unpack_from(request)
        if operation in _UNANSWERED:
            return
        failure, reply = 0, b""
        try:
            reply = self._perform(operation, request[_IN.size :], done)
        except OSError as error:
            failure = error.errno or errno.EIO
        self._take()  # whoever asked before the answer cannot have counted on it
        if self._mounted:
            os.write(self._fuse, _OUT.pack(_OUT.size + len(reply), -failure, unique) + reply)
        self._done = os.fstat(self._log).st_size

    def _perform(self, operation: int, body: bytes, done: int) -> bytes:
        match operation:
            case Operation.WRITE:
                return self._write(body)
            case Operation.READ:
                _, offset, length = _EXTENT.unpack_from(body)
                return self._octets[offset : offset + length]
            case Operation.FSYNC:
                self._note(RECORD.pack(BARRIER, done, 0))
                return b""
            case _:
                return self._introduce(operation, body)

    def _introduce(self, operation: int, body: bytes) -> bytes:
        """What is asked before and after the octets."""
        match operation:
            case Operation.INIT:
                _, _, ahead, offered = _INIT_IN.unpack_from(body)
                limits = (_BACKGROUND, _BACKGROUND, _LARGEST, 1, _PAGES, 0)
                return _INIT_OUT.pack(*_VERSION, ahead, offered & _WANTED, *limits)
            case Operation.GETATTR:
                return self._attributes()
            case Operation.OPEN:
                return _OPENED.pack(0, _DIRECT_IO, 0)
            case Operation.RELEASE | Operation.FLUSH:
                return b""
            case _:
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    def _write(self, body: bytes) -> bytes:
        _, offset, length = _EXTENT.unpack_from(body)
        data = body[_EXTENT.size : _EXTENT.size + length]
        self._octets[offset : offset + length] = data
        self._note(RECORD.pack(WRITE, offset, length) + data)
        return _WRITTEN.pack(length, 0)

    def _attributes(self) -> bytes:
        mode = stat.S_IFREG | 0o600
        size = (self._size, self._size // 512)
        times = (0, 0, 0, 0, 0, 0)
        return _ATTRIBUTES.pack(_FOR_EVER, 0, 0, 1, *size, *times, mode, 1, 0, 0, 0, 4096, 0)

    def _note(self, record: bytes) -> None:
        written = os.write(self._log, record)
        if written != len(record):
            raise OSError(errno.ENOSPC, "the log is full")


def main() -> None:
    """Serve until FILE is unmounted; a line on standard output says that it is mounted."""
    path, size, log = sys.argv[1:]
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    _mount(path, fuse)
    server = Server(fuse, int(size), int(log))
    os.write(sys.stdout.fileno(), b"mounted\n")
    poll = select.poll()
    poll.register(fuse, select.POLLIN)
    while poll.poll() and server.turn():
        pass


def _mount(path: str, fuse: int) -> None:
    options = f"fd={fuse},rootmode={stat.S_IFREG:o},user_id=0,group_id=0"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"medium", path.encode(), b"fuse", _NOSUID_NODEV, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


if __name__ == "__main__":
    main()
