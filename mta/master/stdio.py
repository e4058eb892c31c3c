"""One client on stdin and stdout: `python -I -m mta.daemons.smtpd --stdio --generation 7`.

From inetd and its heirs stdin is a socket, and that is the client. Otherwise (a terminal, a file,
a pipe) two threads carry octets between stdin, stdout and a socket pair: a regular file cannot be
polled, and the handler needs a socket.
"""

import os
import socket
import threading
from typing import Final

__all__ = ["StdioClient"]

_STDIN: Final = 0
_STDOUT: Final = 1
_CHUNK: Final = 65536  # octets


class StdioClient:
    """The client on stdin and stdout; `socket` is for the handler, non-blocking."""

    def __init__(self) -> None:
        self._writer: threading.Thread | None = None
        try:
            self.socket = socket.socket(fileno=os.dup(_STDIN))
        except OSError:
            self.socket, ours = socket.socketpair()
            # Daemonic: a read from a terminal must not outlive the session.
            threading.Thread(target=_carry_in, args=(ours,), daemon=True).start()
            self._writer = threading.Thread(target=_carry_out, args=(ours,), daemon=True)
            self._writer.start()
        self.socket.setblocking(False)

    def finish(self) -> None:
        """Wait until all that the handler said has been written to stdout."""
        if self._writer is not None:
            self._writer.join()


def _carry_in(ours: socket.socket) -> None:
    try:
        while data := os.read(_STDIN, _CHUNK):
            ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the session ended first


def _carry_out(ours: socket.socket) -> None:
    while data := _received(ours):
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(_STDOUT, view) :]
        except OSError:
            ours.shutdown(socket.SHUT_RDWR)  # nobody reads stdout: to the session, a hang-up
            return


def _received(ours: socket.socket) -> bytes:
    try:
        return ours.recv(_CHUNK)
    except ConnectionResetError:
        return b""  # the session ended without reading all of stdin
