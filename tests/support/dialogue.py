"""A mail client that says exactly what the test says, octet for octet.

with instance.smtp() as client:
    client.expect(220)
    client.say("EHLO client.test", 250)
    client.say("MAIL FROM:<alice@example.org>", 250)
"""

import socket
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Self

__all__ = ["Dialogue", "Reply", "dot_stuffed", "trusting_context"]


def trusting_context() -> ssl.SSLContext:
    """A TLS client's context that takes any certificate, as mail servers do among themselves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True)
class Reply:
    """One reply (RFC 5321, 4.2): its code and the text of each of its lines."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class Dialogue:
    """One connection to an SMTP server; every read ends after `timeout` seconds.

    `source` is the address that it comes from, where that matters.
    """

    def __init__(self, host: str, port: int, timeout: float = 10.0, source: str = "") -> None:
        self.socket = socket.create_connection((host, port), timeout, (source, 0))
        self._reader = self.socket.makefile("rb")

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
        self._reader.close()
        self.socket.close()

    def send(self, *lines: str) -> None:
        """Send command lines in one write: several of them are a pipeline (RFC 2920)."""
        self.send_octets("".join(f"{line}\r\n" for line in lines).encode())

    def send_octets(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def reply(self) -> Reply:
        """Read one reply; EOFError when the server closed instead."""
        lines = []
        while True:
            line = self._reader.readline()
            if not line:
                raise EOFError("the server closed the connection")
            assert line.endswith(b"\r\n"), f"a reply line without CRLF: {line!r}"
            text = line[:-2].decode("ascii")
            lines.append(text[4:])
            if text[3:4] != "-":
                return Reply(int(text[:3]), tuple(lines))

    def expect(self, code: int) -> Reply:
        """Read one reply and insist on its code."""
        reply = self.reply()
        assert reply.code == code, f"expected {code}, the server said {reply}"
        return reply

    def say(self, line: str, code: int) -> Reply:
        """Send one command and insist on the reply's code."""
        self.send(line)
        return self.expect(code)

    def greeted(self, hello: str = "EHLO client.test") -> Self:
        """Take the greeting and introduce ourselves."""
        self.expect(220)
        self.say(hello, 250)
        return self

    def starttls(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """Go over to TLS; nobody has introduced himself then."""
        self.say("STARTTLS", 220)
        self._reader.close()
        secure = (context or trusting_context()).wrap_socket(self.socket)
        self.socket = secure
        self._reader = secure.makefile("rb")
        return secure

    def content(self, message: bytes, code: int = 250) -> Reply:
        """Say DATA and send a message, dots stuffed, up to the server's verdict."""
        self.say("DATA", 354)
        self.send_octets(dot_stuffed(message))
        return self.expect(code)

    def mail(self, sender: str, recipients: list[str], message: bytes) -> Reply:
        """One whole transaction that must succeed."""
        self.say(f"MAIL FROM:<{sender}>", 250)
        for recipient in recipients:
            self.say(f"RCPT TO:<{recipient}>", 250)
        return self.content(message)

    def expect_end(self) -> None:
        """Insist that the server closes without a further word."""
        rest = self._reader.read()
        assert rest == b"", f"expected the end of the connection, got {rest!r}"


def dot_stuffed(message: bytes) -> bytes:
    """A message as DATA carries it (RFC 5321, 4.5.2), with the final dot."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")
