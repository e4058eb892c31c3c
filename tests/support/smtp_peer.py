"""An SMTP server whose misbehaviour is scripted, stage by stage; it keeps what it receives.

SmtpPeer("127.0.0.2", port, {"RCPT": "450 4.2.0 later", "end": RESET})

Stages are "greeting", the verbs "EHLO" "HELO" "LHLO" "STARTTLS" "MAIL" "RCPT" "DATA" "RSET", "body"
(in the middle of the content) and "end" (of the content). What a stage names is said in place of
the usual reply, or done; "RCPT bob@example.org" is for one recipient.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

__all__ = [
    "CLOSE",
    "FLOOD",
    "GARBAGE",
    "RESET",
    "SILENT",
    "Received",
    "Script",
    "SmtpPeer",
    "dripping",
    "then",
]

EXTENSIONS = ("PIPELINING", "SIZE 20000000", "8BITMIME", "ENHANCEDSTATUSCODES")
_USUAL = {
    "greeting": "220 peer.test ESMTP",
    "HELO": "250 peer.test",
    "STARTTLS": "220 2.0.0 go ahead",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go ahead",
    "end": "250 2.0.0 Ok: queued as PEER",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}
_LINGER_ZERO = struct.pack("ii", 1, 0)


class _Ended(Exception):  # noqa: N818 - how a session ends
    """The session is over."""


Action = Callable[["_Session"], None]
Script = Mapping[str, str | Action]


def RESET(session: "_Session") -> None:  # noqa: N802 - a word of the script
    """Close so that the client sees a reset."""
    session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    raise _Ended


def CLOSE(session: "_Session") -> None:  # noqa: N802
    """Close without a word."""
    raise _Ended


def SILENT(session: "_Session") -> None:  # noqa: N802
    """Say nothing until the client gives up."""
    while session.socket.recv(65536):
        pass
    raise _Ended


def FLOOD(session: "_Session") -> None:  # noqa: N802
    """A reply of 10 MB."""
    for _ in range(10_000):
        session.socket.sendall(b"250-" + b"x" * 995 + b"\r\n")
    raise _Ended


def GARBAGE(session: "_Session") -> None:  # noqa: N802
    """What no server says."""
    session.socket.sendall(b"\x16\x03\x01\x00\x00 what?\r\n")


def dripping(reply: str, interval: float = 0.1) -> Action:
    """One octet of the reply every `interval` seconds."""

    def drip(session: "_Session") -> None:
        for octet in reply.encode() + b"\r\n":
            session.socket.sendall(bytes((octet,)))
            if session.peer.stopping.wait(interval):
                raise _Ended

    return drip


def then(reply: str, action: Action) -> Action:
    """Say something first."""

    def both(session: "_Session") -> None:
        session.say(reply)
        action(session)

    return both


@dataclass(frozen=True)
class Received:
    """One message that the peer took."""

    hello: str
    mail: str  # the argument of MAIL
    recipients: tuple[str, ...]
    content: bytes  # dots unstuffed
    encrypted: bool


@dataclass
class SmtpPeer:
    """Listens at one address, or at a UNIX socket; serves any number of sessions at once."""

    host: str
    port: int = 0
    script: Script = field(default_factory=dict)
    extensions: Iterable[str] = EXTENSIONS
    context: ssl.SSLContext | None = None
    path: str = ""
    messages: list[Received] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    sessions: int = 0

    def __enter__(self) -> Self:
        self.stopping = threading.Event()
        if self.path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self.path)
            self._listener.listen(100)
        else:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            self._listener = socket.create_server((self.host, self.port), family=family)
            self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        for each in (self._listener, *tuple(self._open)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        threads = []
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self.path:
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sessions += 1
                self._open.add(client)
                threads.append(threading.Thread(target=self._serve, args=(client,)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    def _serve(self, client: socket.socket) -> None:
        session = _Session(self, client)
        with contextlib.suppress(OSError, _Ended):
            session.run()
        self._open.discard(client)
        session.socket.close()


class _Session:
    """One client."""

    def __init__(self, peer: SmtpPeer, client: socket.socket) -> None:
        self.peer = peer
        self.socket = client
        self._rest = b""
        self._hello = ""
        self._mail = ""
        self._recipients: list[str] = []
        self._encrypted = False

    def run(self) -> None:
        self._react("greeting")
        while True:
            line = self._line()
            self.peer.commands.append(line)
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            match verb:
                case "EHLO" | "LHLO" | "HELO":
                    self._hello = argument
                    self._react(verb)
                case "MAIL":
                    self._mail, self._recipients = argument, []
                    self._react(verb)
                case "RCPT":
                    self._rcpt(argument)
                case "DATA":
                    if self._react(verb).startswith("354"):
                        self._content()
                case "STARTTLS":
                    if self._react(verb).startswith("220"):
                        self._start_tls()
                case "QUIT":
                    self._react(verb)
                    return
                case _:
                    self._react(verb)

    def say(self, reply: str) -> None:
        self.socket.sendall(reply.encode() + b"\r\n")

    def _react(self, *stages: str) -> str:
        """Do what the script has for the first of the stages that it names; what was said."""
        for stage in stages:
            reaction = self.peer.script.get(stage)
            if reaction is None:
                continue
            if not isinstance(reaction, str):
                reaction(self)
                return ""
            self.say(reaction)
            return reaction
        usual = _USUAL.get(stages[-1]) or self._greeting_of(stages[-1])
        self.say(usual)
        return usual

    def _greeting_of(self, verb: str) -> str:
        if verb not in ("EHLO", "LHLO"):
            return "502 5.5.1 not implemented"
        offered = [word for word in self.peer.extensions if word != "STARTTLS" or self._may_encrypt]
        lines = ["peer.test", *offered]
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    @property
    def _may_encrypt(self) -> bool:
        return not self._encrypted

    def _rcpt(self, argument: str) -> None:
        address = argument.partition("<")[2].partition(">")[0]
        if self._react(f"RCPT {address}", "RCPT").startswith("25"):
            self._recipients.append(address)

    def _content(self) -> None:
        if "body" in self.peer.script:
            self._fill()
            self._react("body")
        while b"\r\n.\r\n" not in b"\r\n" + self._rest:
            self._fill()
        whole, _, self._rest = (b"\r\n" + self._rest).partition(b"\r\n.\r\n")
        content = (whole + b"\r\n").replace(b"\r\n.", b"\r\n")[2:]
        lmtp = "LHLO" in {each.partition(" ")[0].upper() for each in self.peer.commands}
        received = Received(
            self._hello, self._mail, tuple(self._recipients), content, self._encrypted
        )
        # Kept before the client hears of it: who looks after that finds it.
        self.peer.messages.append(received)
        took = False
        try:
            for address in self._recipients if lmtp else self._recipients[:1]:
                took = self._react(f"end {address}", "end").startswith("2") or took
            if not self._recipients:
                self._react("end")
        finally:
            if not took:
                self.peer.messages.remove(received)

    def _start_tls(self) -> None:
        assert self.peer.context is not None, "the script agrees to TLS without a certificate"
        self.peer._open.discard(self.socket)
        self.socket = self.peer.context.wrap_socket(self.socket, server_side=True)
        self.peer._open.add(self.socket)
        self._encrypted, self._rest = True, b""

    def _line(self) -> str:
        while b"\r\n" not in self._rest:
            self._fill()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line.decode("ascii", "replace")

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise _Ended
        self._rest += data
