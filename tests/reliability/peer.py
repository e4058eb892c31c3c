"""The next host: an SMTP server that decides by the recipient, and tells the ledger what it took.

    later-...     450, the first two times that it is asked
    never-...     550
    shaky-...     the first time it hangs up at the end of the content, and has taken nothing
    others        taken

It is beyond doubt: what it took is in the ledger before its client hears 250. While it is away
nobody listens, and clients that are there hear 421 when they begin the next message.
"""

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from reliability.message import read_message

__all__ = ["Peer", "Taken"]

_DEFERRALS: Final = 2
_BACKLOG: Final = 256

# mark, recipient, began, ended (seconds since the epoch), whole
Taken = Callable[[str, str, float, float, bool], None]


class Peer:
    """Listens on a free port of `host` until the end of the context."""

    def __init__(self, taken: Taken, host: str = "127.0.0.2") -> None:
        self.host = host
        self._taken = taken
        self.port = 0  # a free one, and the same from then on
        self.is_away = False
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self._listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hang_up()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Be away until the end of the context."""
        self.is_away = True
        self._hang_up()
        try:
            yield
        finally:
            self._listen()
            self.is_away = False

    def asked(self, recipient: str) -> int:
        """How often this recipient was asked for before; counts this time."""
        with self._lock:
            self._asked[recipient] += 1
            return self._asked[recipient] - 1

    def _listen(self) -> None:
        self._listener = socket.create_server((self.host, self.port), backlog=_BACKLOG)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _hang_up(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        for number in itertools.count():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            name = f"peer-{number}"
            threading.Thread(target=self._serve, args=(client,), name=name, daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            client.settimeout(60.0)
            try:
                _Conversation(self, client, self._taken).run()
            except (OSError, EOFError):
                return  # an agent that died, or one that had enough


class _Conversation:
    """One connection."""

    def __init__(self, peer: Peer, client: socket.socket, taken: Taken) -> None:
        self._peer = peer
        self._client = client
        self._taken = taken
        self._reader = client.makefile("rb")
        self._recipients: list[str] = []
        self._began = 0.0

    def run(self) -> None:
        self._say("220 mx.example.test ESMTP")
        while True:
            line = self._reader.readline(4096)
            if not line:
                raise EOFError
            verb, _, argument = line.decode("ascii").strip().partition(" ")
            match verb.upper():
                case "EHLO" | "HELO":
                    self._say("250-mx.example.test\r\n250-PIPELINING\r\n250 8BITMIME")
                case "MAIL" if self._peer.is_away:
                    self._say("421 4.3.2 closing")
                    return
                case "MAIL":
                    self._recipients = []
                    self._began = time.time()
                    self._say("250 2.1.0 ok")
                case "RCPT":
                    self._rcpt(argument.partition("<")[2].partition(">")[0])
                case "DATA":
                    self._data()
                case "RSET":
                    self._recipients = []
                    self._say("250 2.0.0 ok")
                case "QUIT":
                    self._say("221 2.0.0 bye")
                    return
                case _:
                    self._say("500 5.5.2 what?")

    def _rcpt(self, recipient: str) -> None:
        if recipient.startswith("never-"):
            self._say("550 5.1.1 nobody of that name")
        elif recipient.startswith("later-") and self._peer.asked(recipient) < _DEFERRALS:
            self._say("450 4.2.0 not now")
        else:
            self._recipients.append(recipient)
            self._say("250 2.1.5 ok")

    def _data(self) -> None:
        if not self._recipients:
            self._say("554 5.5.1 no valid recipients")
            return
        self._say("354 go ahead")
        lines = []
        while (line := self._reader.readline()) != b".\r\n":
            if not line.endswith(b"\r\n"):
                raise EOFError
            lines.append(line[1:] if line.startswith(b".") else line)
        for recipient in self._recipients:
            if recipient.startswith("shaky-") and not self._peer.asked(recipient):
                raise EOFError
        seen = read_message(b"".join(lines))
        for recipient in self._recipients:
            mark, whole = (seen.mark, seen.whole) if seen else ("", False)
            self._taken(mark, recipient, self._began, time.time(), whole)
        self._recipients = []
        self._say("250 2.0.0 taken")

    def _say(self, reply: str) -> None:
        self._client.sendall(f"{reply}\r\n".encode())
