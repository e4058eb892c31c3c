"""All listening sockets and pipes of the house, opened before any daemon and kept for life.

The accept queue belongs to the master: no daemon that retires or crashes loses a client. Opening
has two steps, so that a reload can be undone: `open_listener` does all that can fail, `publish`
gives a UNIX socket its name. Names are relative to the working directory, the queue directory: a
socket path is limited to 107 octets, a folder's is not.
"""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterable
from typing import Final

from mta.master.plugin.holder import holder_of
from mta.util.listen import InetAddress, ListenAddress, PipeAddress, SocketPath

__all__ = ["Listener", "inherited_sockets", "open_all", "open_listener"]

BACKLOG: Final = 4096  # the kernel lowers it to net.core.somaxconn
BIND_PATIENCE: Final = 10.0  # seconds; the children of a killed master close within 3
_BIND_PAUSE: Final = 0.1
_PIPE_SIZE: Final = 1024 * 1024
_SOCKET_MODE: Final = 0o666  # the directory, public or private, is the gate
_SYSTEMD_FIRST: Final = 3  # sd_listen_fds(3)
_KINDS: Final = {"unix": socket.SOCK_STREAM, "ipc": socket.SOCK_SEQPACKET}


class Listener:
    """One open address: a listening socket, or a pipe of which both ends are kept."""

    def __init__(self, address: ListenAddress, descriptor: int, writer: int = -1) -> None:
        self.address = address
        self.descriptor = descriptor
        self.writer = writer
        self._inode: tuple[int, int] | None = None

    def publish(self) -> None:
        """Put a new UNIX socket in place, over whatever a former master left there."""
        if isinstance(self.address, SocketPath) and self._inode is not None:
            os.rename(_temporary(self.address), self.address.path)

    def close(self) -> None:
        """Close the address; its name goes too, if nobody has taken the name over."""
        if isinstance(self.address, SocketPath) and self._inode is not None:
            for path in (_temporary(self.address), self.address.path):
                with contextlib.suppress(FileNotFoundError):
                    if _inode(path) == self._inode:
                        os.unlink(path)
        os.close(self.descriptor)
        if self.writer >= 0:
            os.close(self.writer)

    def remember_name(self, path: str) -> None:
        """Note which file bears our name, for `close`."""
        self._inode = _inode(path)


def open_listener(address: ListenAddress) -> Listener:
    """Open one address; OSError if that fails, with the holder of a taken port in its text."""
    if isinstance(address, PipeAddress):
        return _open_pipe(address)
    if isinstance(address, InetAddress):
        return Listener(address, _open_inet(address).detach())
    return _open_path(address)


def open_all(
    addresses: Iterable[ListenAddress], inherited: list[socket.socket], patience: float
) -> dict[ListenAddress, Listener]:
    """Open every address or none, taking over what systemd handed in.

    A taken port is tried again for `patience` seconds: the children of a killed master need a
    moment to close it. OSError is that of the first address that stays closed.
    """
    deadline = time.monotonic() + patience
    opened: dict[ListenAddress, Listener] = {}
    try:
        for address in addresses:
            opened[address] = _adopt(address, inherited) or _open_patiently(address, deadline)
    except OSError:
        for listener in opened.values():
            listener.close()
        raise
    return opened


def inherited_sockets() -> list[socket.socket]:
    """The sockets of sd_listen_fds(3), taken out of the environment so that no child sees them."""
    count = os.environ.pop("LISTEN_FDS", "0")
    owner = os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if owner != str(os.getpid()) or not count.isdigit():
        return []
    sockets = []
    for descriptor in range(_SYSTEMD_FIRST, _SYSTEMD_FIRST + int(count)):
        os.set_inheritable(descriptor, False)
        sockets.append(socket.socket(fileno=descriptor))
    return sockets


def _adopt(address: ListenAddress, inherited: list[socket.socket]) -> Listener | None:
    for candidate in inherited:
        if _listens_on(candidate, address):
            inherited.remove(candidate)
            candidate.setblocking(False)
            return Listener(address, candidate.detach())
    return None


def _listens_on(candidate: socket.socket, address: ListenAddress) -> bool:
    name = candidate.getsockname()
    if isinstance(address, InetAddress):
        return (
            candidate.family in (socket.AF_INET, socket.AF_INET6)
            and candidate.type == socket.SOCK_STREAM
            and name[:2] == (address.host, address.port)
        )
    if isinstance(address, SocketPath):
        return (
            candidate.family == socket.AF_UNIX
            and candidate.type == _KINDS[address.kind]
            and isinstance(name, str)
            and os.path.realpath(name) == os.path.realpath(address.path)
        )
    return False


def _open_patiently(address: ListenAddress, deadline: float) -> Listener:
    while True:
        try:
            return open_listener(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise
            time.sleep(_BIND_PAUSE)


def _open_inet(address: InetAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        text = f"{address}: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            text += holder_of(address)
        raise OSError(error.errno, text) from error
    return listener


def _open_path(address: SocketPath) -> Listener:
    temporary = _temporary(address)
    listener = socket.socket(socket.AF_UNIX, _KINDS[address.kind])
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        listener.bind(temporary)
        os.chmod(temporary, _SOCKET_MODE)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        opened = Listener(address, listener.fileno())
        opened.remember_name(temporary)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"{address}: {error.strerror}") from error
    listener.detach()
    return opened


def _open_pipe(address: PipeAddress) -> Listener:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    # A writer must never wait for the reader; the reader may choose for itself.
    os.set_blocking(writer, False)
    # Beyond the user's share (pipe-user-pages-soft) the kernel refuses: a small pipe works too.
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return Listener(address, reader, writer)


def _temporary(address: SocketPath) -> str:
    directory, _, name = address.path.rpartition("/")
    return f"{directory}/.{name}.new"


def _inode(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino
