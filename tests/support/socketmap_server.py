"""A socketmap server in the test's own process: it says what the test has it say."""

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

__all__ = ["SILENCE", "SocketmapServer", "netstring"]

SILENCE: Final = b"\0silence"  # for an answer: none, and the connection stays

Answer = Callable[[str, str], bytes]


def netstring(text: str) -> bytes:
    """A reply as it should be."""
    data = text.encode()
    return b"%d:%b," % (len(data), data)


class SocketmapServer:
    """Answers requests with the octets that `answer(map, key)` gives; b"" closes the connection.

    Listens on the loopback, or at `path`. `served` are the requests so far, `connections` their
    count.
    """

    def __init__(self, answer: Answer, path: Path | None = None) -> None:
        self.answer = answer
        self.served: list[tuple[str, str]] = []
        self.connections = 0
        self._clients: list[socket.socket] = []
        if path is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.address = f"inet:127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(path))
            self._listener.listen()
            self.address = f"unix:{path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # shutdown ends what waits in accept and recv; close alone would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close all connections."""
        while self._clients:
            client = self._clients.pop()
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, client.makefile("rb") as stream:
            while size := self._length(stream.read(1), stream.read):
                name, _, key = stream.read(size).decode().partition(" ")
                stream.read(1)
                self.served.append((name, key))
                reply = self.answer(name, key)
                if not reply:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                if reply != SILENCE:
                    client.sendall(reply)

    @staticmethod
    def _length(first: bytes, read: Callable[[int], bytes]) -> int:
        digits = first
        while digits and not digits.endswith(b":"):
            digits += read(1)
        return int(digits[:-1] or b"0")
