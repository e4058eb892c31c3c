"""A look at what a file server may hold: within bounds, for a server that is away answers nobody.

The law: whoever touches such a place himself waits for ever, beyond any signal. So a child does,
which holds nothing of its parent's; it hands over the place, opened as a path, and what it is. To
ask the kernel for that again would be to ask the server again.
"""

import contextlib
import os
import signal
import socket
import struct
from typing import Final, NoReturn

from msgspec import Struct

__all__ = ["Opened", "open_distant"]

_FOUND: Final = struct.Struct("=10q")  # what an os.stat_result is made of
_FAILED: Final = struct.Struct("=i")
_PACKET_LIMIT: Final = 256  # octets


class Opened(Struct, frozen=True):
    """A place, open as a path alone (O_PATH): close it."""

    path: str
    descriptor: int
    status: os.stat_result

    def close(self) -> None:
        """Let go of it; no file server hears of that."""
        os.close(self.descriptor)


def open_distant(path: str, timeout: float) -> Opened:
    """Open a place, following links; for a process of one thread.

    OSError if it cannot be opened, and TimeoutError, which is one, if nobody answers within
    `timeout` seconds.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            child = os.fork()
            if not child:
                _open(theirs.fileno(), path)
        how = 0
        try:
            return _answer(ours, path, timeout)
        except TimeoutError:
            how = os.WNOHANG  # who waits for a server ends when that is back
            raise
        finally:
            os.kill(child, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, how)


def _answer(peer: socket.socket, path: str, timeout: float) -> Opened:
    peer.settimeout(timeout)
    try:
        data, descriptors, _, _ = socket.recv_fds(peer, _PACKET_LIMIT, 1)
    except TimeoutError:
        raise TimeoutError(f"no answer within {timeout:g} s") from None
    if len(data) == _FAILED.size:
        number = _FAILED.unpack(data)[0]
        raise OSError(number, os.strerror(number), path)
    if len(data) != _FOUND.size or not descriptors:
        raise OSError("who looked for it has died")
    os.set_inheritable(descriptors[0], False)
    return Opened(path, descriptors[0], os.stat_result(_FOUND.unpack(data)))


def _open(peer: int, path: str) -> NoReturn:
    """The child: look, say what there is, and be gone."""
    try:
        os.closerange(0, peer)
        os.closerange(peer + 1, os.sysconf("SC_OPEN_MAX"))
        with socket.socket(fileno=peer) as said:
            try:
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
                found = _FOUND.pack(*os.fstat(descriptor)[:10])
            except OSError as error:
                said.send(_FAILED.pack(error.errno))
            else:
                socket.send_fds(said, [found], [descriptor])
    finally:
        os._exit(0)
