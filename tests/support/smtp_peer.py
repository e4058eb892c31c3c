"""A scripted SMTP or LMTP server: what it says at each stage, and a record of what it was told.

with SmtpPeer(Script(rcpt={"bob@x.test": "550 5.1.1 unknown"})) as peer:
    ...                                # deliver to 127.0.0.1, peer.port
    assert peer.messages[0].content == b"..."

It shares no code with mta. A stage of the script is an `Action`:

    "250 ok"          a reply; of several lines, "250-one\\n250 two"; sent with CRLF
    b"250 ok\\n"       octets as they are
    Silent()          nothing, while the connection stays open; whatever comes is read
    Deaf()            nothing, and nothing is read
    Reset()           the connection is reset (RST)
    HangUp()          the connection is closed
    Drip("250 ok")    a reply octet by octet
    Flood("250")      one reply that goes on for ten million octets
    InTurn(a, b)      the first time one thing, the next time another; the last from then on
    Call(function)    the reply that the function returns, when it has returned

Silent, Deaf, Reset and HangUp may say a last reply before. The n-th connection follows the n-th
script, and the last one from then on. A message is in `messages` if the script accepts it, and
is there before its client hears so.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from support.certificates import Pair
from support.waiting import wait_until

__all__ = [
    "EXTENSIONS",
    "Action",
    "Call",
    "Deaf",
    "Drip",
    "Flood",
    "HangUp",
    "InTurn",
    "Message",
    "Reset",
    "Script",
    "Silent",
    "SmtpPeer",
    "Visit",
]

EXTENSIONS: Final = ("PIPELINING", "SIZE 10000000", "8BITMIME", "ENHANCEDSTATUSCODES")
_FLOOD: Final = 10_000_000  # octets


@dataclass(frozen=True)
class Silent:
    """Say nothing from now on, or nothing more, and read."""

    reply: str = ""


@dataclass(frozen=True)
class Deaf:
    """Say nothing from now on, or nothing more, and do not read."""

    reply: str = ""


@dataclass(frozen=True)
class Reset:
    """Reset the connection."""

    reply: str = ""


@dataclass(frozen=True)
class HangUp:
    """Close the connection."""

    reply: str = ""


@dataclass(frozen=True)
class Drip:
    """Send a reply octet by octet, with a pause of so many seconds before each."""

    reply: str
    pause: float = 0.05


@dataclass(frozen=True)
class Flood:
    """Send lines of this code for ever, nearly."""

    code: str


class InTurn:
    """Another action each time; the last one is repeated."""

    def __init__(self, *actions: "Action") -> None:
        self.actions = actions


@dataclass(frozen=True)
class Call:
    """Call a function, and send the reply that it returns."""

    function: Callable[[], str]


_Settled = str | bytes | Silent | Deaf | Reset | HangUp | Drip | Flood
Action = _Settled | InTurn | Call


@dataclass(frozen=True)
class Script:
    """What one connection gets to hear; `rcpt` and `end` (LMTP) may differ by recipient."""

    greeting: Action = "220 peer.test ESMTP"
    ehlo: Action | None = None  # None: 250 with the extensions
    extensions: Sequence[str] = EXTENSIONS
    extensions_over_tls: Sequence[str] | None = None  # None: the same without STARTTLS
    ehlo_over_tls: Action | None = None
    helo: Action = "250 peer.test"
    starttls: Action = "220 2.0.0 go ahead"
    handshake: Action | None = None  # None: a real one
    mail: Action = "250 2.1.0 sender ok"
    rcpt: Action | Mapping[str, Action] = "250 2.1.5 recipient ok"
    data: Action = "354 go ahead"
    content: Action | None = None  # when the first piece of the content has come
    end: Action | Mapping[str, Action] = "250 2.0.0 ok: queued as PEER"
    rset: Action = "250 2.0.0 reset"
    quit: Action = "221 2.0.0 bye"
    unasked: Action | None = None  # behind the answer to the end of the content
    strict: bool = True  # 503 for what is out of order
    receive_buffer: int = 0  # octets that the kernel keeps for a peer that does not read


@dataclass
class Message:
    """One message as the peer got it; `content` is unstuffed."""

    sender: str
    parameters: tuple[str, ...]
    recipients: tuple[str, ...]
    content: bytes
    tls: bool


@dataclass
class Visit:
    """One connection: the command lines in order, and whether it is over."""

    commands: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)  # those that were said as strings
    ended: list[Message] = field(default_factory=list)  # accepted or not
    tls: bool = False
    over: bool = False

    @property
    def verbs(self) -> list[str]:
        return [line.split(" ")[0].split(":")[0].upper() for line in self.commands]


class _Over(Exception):  # noqa: N818
    """The script ends the connection here."""


class SmtpPeer:
    """Serves one address from construction to the end of its context.

    `port` 0 takes a free one; `path` is that of a UNIX socket instead; `refuse` holds the address
    and refuses everyone.
    """

    def __init__(
        self,
        *scripts: Script,
        host: str = "127.0.0.1",
        port: int = 0,
        path: Path | None = None,
        lmtp: bool = False,
        certificate: Pair | None = None,
        refuse: bool = False,
    ) -> None:
        self.visits: list[Visit] = []
        self.messages: list[Message] = []
        self.lmtp = lmtp
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate.certificate, certificate.key)
        self._scripts = scripts or (Script(),)
        self._lock = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        family = socket.AF_UNIX if path else socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        buffer = self._scripts[0].receive_buffer
        if buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._listener.bind(str(path) if path else (host, port))
        self.address = str(path) if path else host
        self.port: int = 0 if path else self._listener.getsockname()[1]
        if not refuse:
            self._listener.listen(128)
            self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up on everyone; all threads have ended afterwards."""
        with self._lock:
            self._closing.set()
            for client in self._clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def wait_over(self, visits: int = 1) -> list[Visit]:
        """Wait until that many connections have come and gone."""
        wait_until(
            lambda: len(self.visits) >= visits and all(visit.over for visit in self.visits),
            f"the end of {visits} connections",
        )
        return self.visits

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._closing.is_set():
                    client.close()
                    return
                if client.family != socket.AF_UNIX:
                    # What was said before a reset must be on its way by then.
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                script = self._scripts[min(len(self.visits), len(self._scripts) - 1)]
                visit = Visit()
                self.visits.append(visit)
                self._clients.add(client)
            self._start(self._serve, client, script, visit)

    def _serve(self, client: socket.socket, script: Script, visit: Visit) -> None:
        with ExitStack() as stack:
            conversation = _Conversation(self, client, script, visit)
            stack.callback(conversation.close)
            stack.enter_context(suppress(OSError, EOFError, _Over))
            conversation.run()
        with self._lock:
            self._clients.discard(client)
        visit.over = True


class _Conversation:
    """One connection."""

    def __init__(self, peer: SmtpPeer, client: socket.socket, script: Script, visit: Visit) -> None:
        self._peer = peer
        self._socket = client
        self._script = script
        self._visit = visit
        self._buffer = b""
        self._sender: str | None = None
        self._parameters: tuple[str, ...] = ()
        self._recipients: list[str] = []
        self._turns: dict[InTurn, int] = {}

    def run(self) -> None:
        self._do(self._script.greeting)
        while True:
            line = self._line()
            self._visit.commands.append(line)
            self._command(line)

    def close(self) -> None:
        self._socket.close()

    # Commands

    def _command(self, line: str) -> None:
        script = self._script
        verb, _, argument = line.partition(" ")
        match verb.upper():
            case "EHLO" | "LHLO":
                self._forget()
                action = script.ehlo_over_tls if self._visit.tls else script.ehlo
                self._do(action if action is not None else self._offer())
            case "HELO":
                self._do(script.helo)
            case "STARTTLS":
                self._starttls()
            case "MAIL":
                self._mail(argument)
            case "RCPT":
                self._rcpt(argument)
            case "DATA":
                self._data()
            case "RSET":
                self._forget()
                self._do(script.rset)
            case "QUIT":
                self._do(script.quit)
                raise _Over
            case _:
                self._do("500 5.5.2 what?")

    def _offer(self) -> str:
        extensions = list(self._script.extensions)
        if self._visit.tls:
            extensions.remove("STARTTLS")
            if self._script.extensions_over_tls is not None:
                extensions = list(self._script.extensions_over_tls)
        lines = ["peer.test", *extensions]
        return "\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"])

    def _starttls(self) -> None:
        if not self._do(self._script.starttls):
            return
        if self._script.handshake is not None:
            self._do(self._script.handshake)
            return
        context = self._peer.context
        assert context is not None, "a script with STARTTLS needs a certificate"
        secure = context.wrap_socket(self._socket, server_side=True, suppress_ragged_eofs=True)
        with self._peer._lock:
            self._peer._clients.discard(self._socket)
            self._peer._clients.add(secure)
        self._socket = secure
        self._visit.tls = True

    def _mail(self, argument: str) -> None:
        if self._script.strict and self._sender is not None:
            self._do("503 5.5.1 nested MAIL")
            return
        path, *parameters = argument.removeprefix("FROM:").split(" ")
        if self._do(self._script.mail):
            self._sender = path.strip("<>")
            self._parameters = tuple(parameters)

    def _rcpt(self, argument: str) -> None:
        address = argument.removeprefix("TO:").strip("<>")
        if self._script.strict and self._sender is None:
            self._do("503 5.5.1 need MAIL")
        elif self._do(_choice(self._script.rcpt, address, "250 2.1.5 recipient ok")):
            self._recipients.append(address)

    def _data(self) -> None:
        if self._script.strict and not self._recipients:
            self._do("554 5.5.1 no valid recipients")
        elif self._do(self._script.data):
            self._content()
            self._forget()

    def _content(self) -> None:
        script = self._script
        wire = b"\r\n"
        while (end := wire.find(b"\r\n.\r\n")) < 0:
            wire += self._receive()
            if script.content is not None:
                self._do(script.content)
                raise _Over
        self._buffer = wire[end + 5 :]
        content = wire[: end + 2].replace(b"\r\n.", b"\r\n")[2:]
        message = Message(
            self._sender or "",
            self._parameters,
            tuple(self._recipients),
            content,
            self._visit.tls,
        )
        self._visit.ended.append(message)
        accepted = False
        for address in self._recipients if self._peer.lmtp else ("",):
            action = self._settle(_choice(script.end, address, "250 2.0.0 ok"))
            if _digit(action) == "2" and not accepted:
                # Before the client hears of it: who looks after that finds the message.
                accepted = True
                self._peer.messages.append(message)
            self._do(action)
        if script.unasked is not None:
            self._do(script.unasked)

    def _forget(self) -> None:
        self._sender = None
        self._parameters = ()
        self._recipients = []

    # Octets

    def _do(self, action: Action) -> bool:
        """Perform an action; whether it was a positive reply. Some actions are the last."""
        settled = self._settle(action)
        match settled:
            case str():
                self._visit.replies.append(settled)
                self._socket.sendall(_wire(settled))
            case bytes():
                self._socket.sendall(settled)
            case Drip():
                for octet in _wire(settled.reply):
                    threading.Event().wait(settled.pause)
                    self._socket.sendall(bytes((octet,)))
            case _:
                self._end(settled)
                raise _Over
        return _digit(settled) in ("2", "3")

    def _settle(self, action: Action) -> _Settled:
        """What an action comes to this time."""
        match action:
            case InTurn():
                turn = self._turns[action] = self._turns.get(action, -1) + 1
                return self._settle(action.actions[min(turn, len(action.actions) - 1)])
            case Call():
                return action.function()
            case _:
                return action

    def _end(self, action: Silent | Deaf | Reset | HangUp | Flood) -> None:
        if not isinstance(action, Flood):
            self._visit.replies.append(action.reply)
            self._socket.sendall(_wire(action.reply))
        match action:
            case Flood():
                lines = f"{action.code}-{'x' * 60}\r\n".encode() * 100
                for _ in range(_FLOOD // len(lines)):
                    self._socket.sendall(lines)
            case Silent():
                while True:
                    self._receive()
            case Deaf():
                # A client that goes away is not noticed without reading: wait for the peer's end.
                self._peer._closing.wait()
            case Reset():
                linger = struct.pack("ii", 1, 0)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            case HangUp():
                pass

    def _line(self) -> str:
        while b"\r\n" not in self._buffer:
            self._buffer += self._read()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode("ascii", "replace")

    def _receive(self) -> bytes:
        data, self._buffer = self._buffer, b""
        return data or self._read()

    def _read(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError
        return data


def _choice(actions: Action | Mapping[str, Action], address: str, default: Action) -> Action:
    return actions.get(address, default) if isinstance(actions, Mapping) else actions


def _digit(action: _Settled) -> str:
    """The first octet of what an action says: of a reply, 2 to 5."""
    match action:
        case str():
            return action[:1]
        case bytes():
            return action[:1].decode("ascii", "replace")
        case Flood():
            return ""  # no reply: it never ends
        case _:
            return action.reply[:1]


def _wire(reply: str) -> bytes:
    return "".join(f"{line}\r\n" for line in reply.split("\n")).encode() if reply else b""
