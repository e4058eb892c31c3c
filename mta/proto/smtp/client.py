"""The client's half of an SMTP or LMTP session as a state machine without IO.

    opening       greeting, EHLO (LHLO; HELO where EHLO is unknown), and again after STARTTLS
    ready         nothing is expected; `mail` begins a transaction
    transaction   [RSET] MAIL RCPT... DATA, in one write where the server pipelines (RFC 2920),
                  else one by one; then content and its end
    over          the server said 421, or what no server says, or nothing any more

Every command has one reply, in order; the end of content has one for each accepted recipient in
LMTP (RFC 2033, 4.2). The owner feeds octets (`receive`), takes events (`next_event`), sends
`data_to_send()`, and says `fail` when time or connection is over. Whatever happens, a transaction
ends with one verdict for each of its recipients.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mta.proto.smtp.client_events import (
    Concluded,
    ContentWanted,
    Event,
    Ready,
    Refused,
    Stage,
    TlsAgreed,
    TlsDeclined,
    Verdict,
)
from mta.proto.smtp.client_replies import Reply, ReplyError, ReplyParser, status_of
from mta.proto.smtp.events import Signal
from mta.proto.smtp.stuffing import DotStuffer
from mta.proto.status import Status

__all__ = ["ClientEngine"]

_GO_AWAY: Final = 421  # RFC 5321, 3.8: the answer to any command
_START_CONTENT: Final = 354
_START_TLS: Final = 220
_TEXT_LIMIT: Final = 512  # characters of a status
_NOT_ASCII: Final = Status(
    553, "5.6.7", "an address that is not ASCII needs SMTPUTF8, which is not supported"
)
_COMMANDS: Final = {
    Stage.GREETING: "initial server greeting",
    Stage.TLS: "STARTTLS command",
    Stage.RESET: "RSET command",
    Stage.MAIL: "MAIL FROM command",
    Stage.RCPT: "RCPT TO command",
    Stage.DATA: "DATA command",
    Stage.BODY: "message content",
    Stage.END: "end of DATA command",
}


class ClientEngine:
    """One session; `peer` is the server's name in texts, as in Postfix's relay=.

    Memory is bounded by one reply, by a mail's commands, and by output that is not taken.
    """

    def __init__(self, helo_name: str, peer: str, *, lmtp: bool) -> None:
        self.replies = 0  # so far: the server's progress
        self.extensions: frozenset[str] = frozenset()  # what EHLO offered, in upper case
        self._helo_name = helo_name
        self._peer = peer
        self._lmtp = lmtp
        self._hello = "LHLO" if lmtp else "EHLO"
        self._size_limit = 0  # octets; 0: none that we know of (RFC 1870)
        self._parser = ReplyParser()
        self._output: list[bytes] = []
        self._events: deque[Event] = deque()
        self._expected: deque[Stage] = deque([Stage.GREETING])
        self._over = False
        self._open = False  # the session was opened
        self._handshaking = False
        self._needs_reset = False  # the server may still be in a transaction
        self._script: deque[tuple[Stage, bytes]] = deque()  # commands not yet sent
        self._verdicts: list[Verdict | None] = []  # empty: no transaction
        self._asked: deque[int] = deque()  # recipients whose RCPT is unanswered, by their place
        self._accepted: list[int] = []
        self._stuffer: DotStuffer | None = None  # while content is sent
        self._ended = False  # the final dot was sent: what we do not hear may have happened

    @property
    def stage(self) -> Stage:
        """What the session is at."""
        if self._expected:
            return self._expected[0]
        return Stage.BODY if self._stuffer is not None else Stage.HELLO

    @property
    def usable(self) -> bool:
        """Whether `mail` may be called."""
        return self._open and not (self._over or self._verdicts or self._expected)

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self._over

    def data_to_send(self) -> bytes:
        """Take the octets that are due, all at once; empty if there are none."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Take what the server sent; any division of the octets means the same."""
        if self._over:
            return
        try:
            for reply in self._parser.feed(data):
                if not self._over:
                    self._take(reply)
        except ReplyError as error:
            self._break(str(error))

    def next_event(self) -> Event | Signal:
        """The next thing that the owner must know, or why there is none."""
        if self._events:
            return self._events.popleft()
        return Signal.PAUSED if self._over else Signal.NEED_DATA

    def fail(self, status: Status, *, elsewhere: bool | None = None) -> None:
        """End the session: the connection was lost, say, and `status` tells it.

        Unless told otherwise, another host may be tried as long as no final dot was sent.
        """
        if self._over:
            return
        self._over = True
        self._expected.clear()
        self._script.clear()
        if elsewhere is None:
            elsewhere = not self._ended
        if self._verdicts:
            self._judge_rest(Verdict(status, elsewhere))
            self._conclude()
        elif not self._open or self._handshaking:
            self._events.clear()
            self._events.append(Refused(status, elsewhere))

    def quit(self) -> None:
        """Say QUIT, whose answer nobody waits for."""
        if not self._over:
            self._over = True
            self._output.append(b"QUIT\r\n")

    # TLS

    def start_tls(self) -> None:
        """Ask for TLS (RFC 3207)."""
        self._send(Stage.TLS, b"STARTTLS\r\n")

    def tls_started(self) -> None:
        """The handshake is done: what the server said before counts no more (RFC 3207, 4.2)."""
        self._handshaking = False
        self._say_hello("EHLO")

    # Mail

    def mail(self, sender: str, recipients: Sequence[str], size: int, *, body_8bit: bool) -> None:
        """Begin a transaction; `size` is that of the content, in octets."""
        self._verdicts = [None] * len(recipients)
        self._accepted, self._ended = [], False
        self._asked.clear()
        if self._size_limit and size > self._size_limit:
            text = f"message size {size} exceeds size limit {self._size_limit} of {self._peer}"
            self._judge_rest(Verdict(Status(552, "5.3.4", text[:_TEXT_LIMIT]), elsewhere=False))
        elif not sender.isascii():
            self._judge_rest(Verdict(_NOT_ASCII, elsewhere=False))
        for index, recipient in enumerate(recipients):
            if not recipient.isascii():
                self._verdicts[index] = Verdict(_NOT_ASCII, elsewhere=False)
        asked = [index for index, verdict in enumerate(self._verdicts) if verdict is None]
        if not asked:
            self._conclude()
            return
        if self._needs_reset:
            self._script.append((Stage.RESET, b"RSET\r\n"))
            self._needs_reset = False
        self._script.append((Stage.MAIL, self._mail_command(sender, size, body_8bit)))
        for index in asked:
            self._asked.append(index)
            command = f"RCPT TO:<{recipients[index]}>\r\n".encode("ascii")
            self._script.append((Stage.RCPT, command))
        self._script.append((Stage.DATA, b"DATA\r\n"))
        self._go_on()

    def content(self, data: bytes) -> None:
        """Send the next piece of content."""
        if self._stuffer is not None:
            self._output.append(self._stuffer.feed(data))

    def end_content(self) -> None:
        """Send the end of the content."""
        if self._stuffer is None:
            return
        self._output.append(self._stuffer.end())
        self._stuffer = None
        self._ended = True
        self._expected.extend([Stage.END] * (len(self._accepted) if self._lmtp else 1))

    def _mail_command(self, sender: str, size: int, body_8bit: bool) -> bytes:
        options = f" SIZE={size}" if "SIZE" in self.extensions else ""
        if body_8bit and "8BITMIME" in self.extensions:
            options += " BODY=8BITMIME"
        return f"MAIL FROM:<{sender}>{options}\r\n".encode("ascii")

    def _go_on(self) -> None:
        """Send the commands that may be sent now; or the transaction is over."""
        at_once = "PIPELINING" in self.extensions
        while self._script and (at_once or not self._expected):
            stage, command = self._script.popleft()
            if stage is Stage.DATA and not at_once and not self._accepted:
                break
            self._send(stage, command)
        if not self._expected and not self._script and self._stuffer is None:
            self._needs_reset = not self._ended
            self._conclude()

    def _send(self, stage: Stage, command: bytes) -> None:
        self._output.append(command)
        self._expected.append(stage)

    # Replies

    def _take(self, reply: Reply) -> None:
        self.replies += 1
        if not self._expected:
            self._take_unasked(reply)
            return
        stage = self._expected.popleft()
        if reply.code == _GO_AWAY:
            self.fail(self._status(reply, stage), elsewhere=True)
            return
        self._TAKERS[stage](self, reply)
        if self._verdicts and not self._over:
            self._go_on()

    def _take_unasked(self, reply: Reply) -> None:
        """A server that gives up while content is sent; or one that sends an idle client away."""
        if self._handshaking:  # RFC 3207, 5: somebody may have put it there
            self._break("plain text behind the answer to STARTTLS")
        elif self._stuffer is None:
            self._over = True
        elif reply.code < 400:
            self._break(f"{reply.code} before the end of the content")
        else:
            temporary = reply.code < 500
            self.fail(self._status(reply, Stage.BODY), elsewhere=temporary)

    def _take_greeting(self, reply: Reply) -> None:
        if reply.code // 100 == 2:
            self._say_hello(self._hello)
        else:
            self.fail(self._status(reply, Stage.GREETING), elsewhere=True)

    def _say_hello(self, verb: str) -> None:
        self._hello, self._open = verb, False
        self.extensions, self._size_limit = frozenset(), 0
        self._send(Stage.HELLO, f"{verb} {self._helo_name}\r\n".encode("ascii", "replace"))

    def _take_hello(self, reply: Reply) -> None:
        if reply.code // 100 == 2:
            if self._hello != "HELO":
                self._learn(reply.lines[1:])
            self._open = True
            self._events.append(Ready())
        elif reply.code >= 500 and self._hello == "EHLO":
            self._say_hello("HELO")
        else:
            self.fail(self._status(reply, Stage.HELLO), elsewhere=True)

    def _learn(self, lines: Iterable[str]) -> None:
        offered = [line.upper().split() for line in lines]
        self.extensions = frozenset(words[0] for words in offered if words)
        for words in offered:
            if words[:1] == ["SIZE"] and len(words) > 1 and words[1].isdecimal():
                self._size_limit = int(words[1][:20])

    def _take_tls(self, reply: Reply) -> None:
        if reply.code != _START_TLS:
            self._events.append(TlsDeclined(self._status(reply, Stage.TLS)))
        else:
            self._handshaking = True
            self._events.append(TlsAgreed())
            if len(self._parser):
                self._break("plain text behind the answer to STARTTLS")

    def _take_reset(self, reply: Reply) -> None:
        if reply.code // 100 != 2:
            self.fail(self._status(reply, Stage.RESET))

    def _take_mail(self, reply: Reply) -> None:
        if reply.code // 100 != 2:
            self._judge_rest(self._refusal(reply, Stage.MAIL))
            self._script.clear()

    def _take_rcpt(self, reply: Reply) -> None:
        index = self._asked.popleft()
        if self._verdicts[index] is not None:
            return  # MAIL was refused, and this with it
        if reply.code // 100 == 2:
            self._accepted.append(index)
        else:
            self._verdicts[index] = self._refusal(reply, Stage.RCPT)

    def _take_data(self, reply: Reply) -> None:
        if reply.code == _START_CONTENT and self._accepted:
            self._stuffer = DotStuffer()
            self._events.append(ContentWanted())
        elif reply.code == _START_CONTENT:
            # RFC 2920, 3.1: all recipients were refused, and still it waits for a message.
            self._ended = True
            self._send(Stage.END, b".\r\n")
        elif reply.code // 100 == 2:
            self._break(f"{reply.code} in reply to DATA")
        else:
            self._judge_rest(self._refusal(reply, Stage.DATA))

    def _take_end(self, reply: Reply) -> None:
        if not self._accepted:
            return
        waiting = [index for index in self._accepted if self._verdicts[index] is None]
        verdict = self._refusal(reply, Stage.END)
        for index in waiting[:1] if self._lmtp else waiting:
            self._verdicts[index] = verdict

    # Verdicts

    def _status(self, reply: Reply, stage: Stage) -> Status:
        command = f"{self._hello} command" if stage is Stage.HELLO else _COMMANDS[stage]
        return status_of(reply, self._peer, command)

    def _refusal(self, reply: Reply, stage: Stage) -> Verdict:
        status = self._status(reply, stage)
        return Verdict(status, status.is_temporary)

    def _break(self, why: str) -> None:
        text = f"host {self._peer} does not speak SMTP: {why}"
        self.fail(Status(451, "4.5.0", text[:_TEXT_LIMIT]))

    def _judge_rest(self, verdict: Verdict) -> None:
        self._verdicts = [verdict if each is None else each for each in self._verdicts]

    def _conclude(self) -> None:
        verdicts = tuple(verdict for verdict in self._verdicts if verdict is not None)
        assert len(verdicts) == len(self._verdicts), "a recipient without a verdict"
        self._verdicts = []
        self._stuffer = None
        self._events.append(Concluded(verdicts))

    _TAKERS: Final[dict[Stage, Callable[["ClientEngine", Reply], None]]] = {
        Stage.GREETING: _take_greeting,
        Stage.HELLO: _take_hello,
        Stage.TLS: _take_tls,
        Stage.RESET: _take_reset,
        Stage.MAIL: _take_mail,
        Stage.RCPT: _take_rcpt,
        Stage.DATA: _take_data,
        Stage.END: _take_end,
    }
