"""socketmap: a program that answers for keys, over TCP or a UNIX socket (socketmap_table(5)).

    request     NAME KEY                                    each as one netstring
    reply       OK VALUE, NOTFOUND, TEMP WHY, TIMEOUT WHY, PERM WHY

The connection is kept. Where the server has closed it meanwhile, as it may when it is idle or was
started anew, the request is sent once more on a new one.
"""

import re
import socket
import time
from typing import Final

from msgspec import Struct

from mta.lookup.netstrings import NetstringError, NetstringReader, encode_netstring
from mta.lookup.patience import Patience
from mta.lookup.table import VALUE_LIMIT, TableError

__all__ = ["Server", "SocketmapTable", "parse_server"]

_REPLY_LIMIT: Final = 100_000  # octets, as Postfix has it
_PIECE: Final = 65536  # octets
_UNSEEN_FOR: Final = 5.0  # seconds
_FAILURES: Final = frozenset({"TEMP", "TIMEOUT", "PERM"})
_INET: Final = re.compile(
    r"inet:(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5}):"
    r"(?P<name>[!-~]+)"
)
_UNIX: Final = re.compile(r"unix:(?P<path>/[^\0]*):(?P<name>[!-9;-~]+)")
_PATH_LIMIT: Final = 107  # octets (unix(7))


class Server(Struct, frozen=True):
    """Who answers, and the name of the map there; `path` is empty where it is TCP."""

    name: str
    path: str = ""
    host: str = ""
    port: int = 0


class _ClosedError(Exception):
    """The server is gone, and said nothing to the request."""


def parse_server(argument: str) -> Server:
    """The server of `socketmap:ARGUMENT`; ValueError says what was expected."""
    if match := _UNIX.fullmatch(argument):
        if len(match["path"].encode("utf-8", "surrogatepass")) > _PATH_LIMIT:
            raise ValueError(f"expected a path of at most {_PATH_LIMIT} octets")
        return Server(match["name"], path=match["path"])
    match = _INET.fullmatch(argument)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ValueError(f'expected inet:HOST:PORT:NAME or unix:/PATH:NAME, got "{argument}"')
    return Server(match["name"], host=match["literal"] or match["host"], port=int(match["port"]))


class SocketmapTable:
    """The table `socketmap:...`; not for several threads at once, but for any one at a time."""

    def __init__(self, name: str, server: Server, patience: Patience) -> None:
        """`name` is the table's, for errors."""
        self._name = name
        self._server = server
        self._patience = patience
        self._socket: socket.socket | None = None

    @property
    def takes_parts(self) -> bool:
        """Like patterns, the server is asked for the whole alone."""
        return False

    def find(self, key: str) -> str | None:
        """What the server has for the key as it is; TableError if it does not say."""
        try:
            request = encode_netstring(f"{self._server.name} {key}".encode())
        except UnicodeEncodeError:
            return None  # no table has octets that are no UTF-8
        try:
            return self._value(self._ask(request))
        except (OSError, NetstringError, TableError) as error:
            self.close()
            self._patience.left(self._name)
            if isinstance(error, TableError):
                raise
            raise TableError(f"{self._name}: {error}") from error

    def identity(self) -> int:
        """Another number every few seconds: what the server knows cannot be seen from here."""
        return int(time.time() / _UNSEEN_FOR)

    def close(self) -> None:
        """Close the connection; the next look-up opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, request: bytes) -> bytes:
        if self._socket is not None:
            try:
                return self._exchange(self._socket, request)
            except (_ClosedError, BrokenPipeError, ConnectionResetError):
                self.close()
        self._socket = self._connect()
        try:
            return self._exchange(self._socket, request)
        except _ClosedError as error:
            raise TableError(f"{self._name}: the server closed the connection") from error

    def _connect(self) -> socket.socket:
        server = self._server
        if not server.path:
            left = self._patience.left(self._name)
            return socket.create_connection((server.host, server.port), left)
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            peer.settimeout(self._patience.left(self._name))
            peer.connect(server.path)
        except BaseException:
            peer.close()
            raise
        return peer

    def _exchange(self, peer: socket.socket, request: bytes) -> bytes:
        peer.settimeout(self._patience.left(self._name))
        peer.sendall(request)
        reader = NetstringReader(_REPLY_LIMIT)
        reply = None
        said = False
        while reply is None:
            peer.settimeout(self._patience.left(self._name))
            data = peer.recv(_PIECE)
            if not data:
                if said:
                    raise NetstringError("the reply ends before its end")
                raise _ClosedError
            said = True
            reply = reader.feed(data)
        return reply

    def _value(self, reply: bytes) -> str | None:
        status, _, text = self._decoded(reply).partition(" ")
        if status == "OK":
            if len(text.encode()) > VALUE_LIMIT:
                raise TableError(f"{self._name}: a value of more than {VALUE_LIMIT} octets")
            return text
        if status == "NOTFOUND":
            return None
        if status in _FAILURES:
            raise TableError(f"{self._name}: the server says {status} {text[:200]}".rstrip())
        raise TableError(f"{self._name}: expected OK, NOTFOUND, TEMP, TIMEOUT or PERM")

    def _decoded(self, reply: bytes) -> str:
        try:
            text = reply.decode()
        except UnicodeDecodeError as error:
            raise TableError(f"{self._name}: the reply is no UTF-8") from error
        if "\0" in text:
            raise TableError(f"{self._name}: the reply has a NUL in it")
        return text
