"""The client's half of an SMTP (RFC 5321) or LMTP (RFC 2033) session as a state machine without IO.

             awaited replies                  2yz                     4yz, 5yz
    OPENING  greeting                         EHLO                    Refused
             EHLO                             STARTTLS or READY       5yz: HELO; Refused
             STARTTLS                         TLS                     Refused
    READY    RSET, where one was needed       READY                   Refused
    ENVELOPE MAIL                             go on                   all recipients: this answer
             each RCPT                        go on                   this recipient: this answer
             DATA (354)                       CONTENT                 the others: this answer
    CONTENT  none; if one comes: the end      Broken                  the others: this answer
    END      the end of the content           READY                   READY
    CLOSED   octets are discarded

Commands go out in one group where the server offers PIPELINING (RFC 2920), one at a time elsewhere;
replies belong to commands by their order. 421 ends the session wherever it comes. What no command
asked for ends it, too. The owner feeds octets (`receive`), takes events (`next_event`) and acts by
them, then sends `data_to_send()`.
"""

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from mta.proto.smtp.client_events import (
    Answer,
    Broken,
    ClientEvent,
    Finished,
    GoAhead,
    Ready,
    Refused,
    Stage,
    StartTls,
)
from mta.proto.smtp.client_replies import MalformedReply, Reply, ReplyParser
from mta.proto.smtp.extensions import NO_EXTENSIONS, parse_extensions
from mta.proto.smtp.stuffing import DotStuffer

__all__ = ["ClientEngine", "fits_command"]


class State(enum.Enum):
    """Where the session stands."""

    OPENING = "opening"
    TLS = "tls"
    READY = "ready"
    ENVELOPE = "envelope"
    CONTENT = "content"
    END = "end"
    CLOSED = "closed"


_ALL: Final = -1  # every recipient that has no answer yet
_NOBODY: Final = -2
_SERVICE_CLOSING: Final = 421  # RFC 5321, 3.8
_QUIT: Final = b"QUIT\r\n"


class _Command(Struct, frozen=True):
    """A line that is to be sent, and whom its reply is about."""

    stage: Stage
    line: bytes = b""
    recipient: int = _ALL


_DATA: Final = _Command(Stage.DATA, b"DATA\r\n")
_END: Final = _Command(Stage.END)  # of the content; the engine sends it with the content


class ClientEngine:
    """One session as a client that calls itself `helo_name`.

    `starttls`: say STARTTLS where it is offered. Memory is bounded by one incomplete reply, the
    transaction's envelope, the content that `begin` got, and what was not taken of `data_to_send`.
    """

    def __init__(self, helo_name: str, *, lmtp: bool = False, starttls: bool = False) -> None:
        self.extensions = NO_EXTENSIONS
        self.replies = 0  # whole replies that have come
        self.starttls_said = False
        self._lmtp = lmtp
        self._helo_name = helo_name
        self._starttls = starttls
        self._parser = ReplyParser()
        self._output: list[bytes] = []
        self._events: deque[ClientEvent] = deque()
        self._state = State.OPENING
        self._waiting: deque[_Command] = deque()  # not sent yet
        self._asked: deque[_Command] = deque([_Command(Stage.GREETING)])  # sent, not answered
        self._answers: list[Answer | None] = []
        self._accepted: list[int] = []
        self._open = False  # the server may hold an envelope that no reply has ended
        self._content: bytes | None = None  # all of it, if `begin` got it
        self._stuffer = DotStuffer()

    @property
    def stage(self) -> Stage:
        """What the server is to do next."""
        if self._state is State.CONTENT:
            return Stage.CONTENT
        if self._state is State.TLS:
            return Stage.STARTTLS
        return self._asked[0].stage if self._asked else Stage.IDLE

    @property
    def ready(self) -> bool:
        """Whether a transaction may begin."""
        return self._state is State.READY

    @property
    def closed(self) -> bool:
        """Whether nothing more can be said."""
        return self._state is State.CLOSED

    @property
    def has_event(self) -> bool:
        """Whether there is a next event."""
        return bool(self._events)

    @property
    def answers(self) -> tuple[Answer | None, ...]:
        """What the server said of each recipient of the latest transaction; None: nothing yet."""
        return tuple(self._answers)

    @property
    def buffered(self) -> int:
        """Octets received and not understood yet."""
        return len(self._parser)

    # What the owner does

    def receive(self, data: bytes) -> None:
        """Take what the server sent; any division of the octets means the same."""
        state = self._state
        if state is State.CLOSED:
            return
        if state is State.TLS:
            # RFC 3207, 6: whoever sent this was not authenticated by the handshake.
            self._break(Stage.STARTTLS, "plain text where a handshake was due")
            return
        parser = self._parser
        parser.append(data)
        try:
            while self._state is not State.CLOSED and (reply := parser.take()) is not None:
                self._take(reply)
            # Not before the last reply was taken: what comes with the 354 is no answer to this.
            if self._content is not None and self._state is State.CONTENT:
                self.content(self._content)
                self.end_content()
        except MalformedReply as error:
            self._break(self.stage, str(error))

    def next_event(self) -> ClientEvent | None:
        """The next thing that the server did; None: more octets must come first."""
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        """Take what is due to be sent, all at once; empty if there is nothing."""
        output = self._output
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    def tls_started(self) -> None:
        """The handshake succeeded: what was learnt before it is forgotten (RFC 3207, 4.2)."""
        self._expect(State.TLS)
        self._starttls = False
        self._state = State.OPENING
        self.extensions = NO_EXTENSIONS
        self._parser = ReplyParser()
        self._say_hello()
        self._pump()

    def begin(
        self,
        sender: str,
        recipients: Sequence[str],
        size: int,
        *,
        body_8bit: bool,
        content: bytes | None = None,
    ) -> None:
        """Begin a transaction; `size` is the content's, in octets, `body_8bit` what MAIL shall say.

        `content` may be the whole of it: then it goes out by itself, and there is no GoAhead.
        ValueError: an address that no command can hold; nothing is sent then.
        """
        self._expect(State.READY)
        mail = b"MAIL FROM:<%b>" % _wire(sender)
        if self.extensions.size:
            mail += b" SIZE=%d" % size  # RFC 1870, 6
        if body_8bit and self.extensions.body_8bit:
            mail += b" BODY=8BITMIME"  # RFC 6152, 2
        asking = [
            _Command(Stage.RCPT, b"RCPT TO:<%b>\r\n" % _wire(recipient), index)
            for index, recipient in enumerate(recipients)
        ]
        self._state = State.ENVELOPE
        self._content = content
        self._answers = [None] * len(asking)
        self._accepted = []
        self._waiting += (_Command(Stage.MAIL, mail + b"\r\n"), *asking, _DATA)
        self._pump()

    def content(self, chunk: bytes) -> None:
        """Send a piece of the message as it is: dots are stuffed here."""
        if self._state is State.CONTENT:  # or the server gave up already
            self._output.append(self._stuffer.stuff(chunk))

    def end_content(self) -> None:
        """The message is complete: from here on nobody but the server knows whether it has it."""
        if self._state is State.CONTENT:
            self._output.append(self._stuffer.finish())
            self._state = State.END

    def quit(self) -> None:
        """End the session; the answer is of no interest."""
        if not self.closed:
            self._output.append(_QUIT)
            self._state = State.CLOSED

    # Replies

    def _take(self, reply: Reply) -> None:
        self.replies += 1
        if self._state is State.CONTENT:
            self._give_up(reply)
            return
        if not self._asked:
            self._refuse(Stage.IDLE, reply)
            return
        command = self._asked.popleft()
        if reply.code == _SERVICE_CLOSING:
            self._hang_up(command.stage, reply)
        else:
            self._HANDLERS[command.stage](self, command, reply)
        if self._waiting:
            self._pump()
        if not self._asked:
            self._settle()

    def _greeted(self, command: _Command, reply: Reply) -> None:
        if reply.code // 100 == 2:
            self._say_hello()
        else:
            self._refuse(command.stage, reply)

    def _helloed(self, command: _Command, reply: Reply) -> None:
        kind = reply.code // 100
        if kind == 2:
            if command.stage is not Stage.HELO:
                self.extensions = parse_extensions(reply.lines[1:])
            if self._starttls and self.extensions.starttls:
                self.starttls_said = True
                self._waiting.append(_Command(Stage.STARTTLS, b"STARTTLS\r\n"))
            else:
                self._state = State.READY
                self._events.append(Ready())
        elif kind == 5 and command.stage is Stage.EHLO:
            # RFC 5321, 3.2: a server that knows no extensions; LMTP has no older form.
            self._waiting.append(_Command(Stage.HELO, f"HELO {self._helo_name}\r\n".encode()))
        else:
            self._refuse(command.stage, reply)

    def _starttls_answered(self, command: _Command, reply: Reply) -> None:
        if reply.code // 100 != 2:
            self._refuse(command.stage, reply)
        elif len(self._parser):
            # RFC 3207, 6: what came in plain text must not be taken for the answer to commands
            # under TLS.
            self._break(command.stage, "plain text behind the answer to STARTTLS")
        else:
            self._state = State.TLS
            self._events.append(StartTls())

    def _reset(self, command: _Command, reply: Reply) -> None:
        if reply.code // 100 != 2:
            self._refuse(command.stage, reply)

    def _mailed(self, command: _Command, reply: Reply) -> None:
        if self._accepts(command, reply):
            self._open = True
        elif not self.closed:
            self._waiting.clear()

    def _recipient_answered(self, command: _Command, reply: Reply) -> None:
        index = command.recipient
        if self._accepts(command, reply) and self._answers[index] is None:
            self._accepted.append(index)
        if not self._accepted and len(self._waiting) == 1 and not self.closed:
            self._waiting.clear()  # only DATA was left

    def _data_answered(self, command: _Command, reply: Reply) -> None:
        kind = reply.code // 100
        if kind == 2:
            self._break_by(command.stage, reply)
        elif kind != 3:
            self._answer(_ALL, Answer(command.stage, reply))
        elif self._accepted:
            # RFC 2033, 4.2: LMTP has an answer for each accepted recipient, in their order.
            if self._lmtp:
                self._asked += [_Command(Stage.END, recipient=index) for index in self._accepted]
            else:
                self._asked.append(_END)
            self._state = State.CONTENT
            self._stuffer = DotStuffer()
            if self._content is None:
                self._events.append(GoAhead())
        elif self._lmtp:
            # RFC 2033, 4.2 forbids this 354; how many answers follow a lone dot, nobody knows.
            self._close(Finished())
        else:
            # RFC 2920, 3.1: a lone dot, and whatever is said to that is ignored.
            self._output.append(b".\r\n")
            self._asked.append(_Command(Stage.END, recipient=_NOBODY))

    def _end_answered(self, command: _Command, reply: Reply) -> None:
        if self._accepts(command, reply):
            self._answer(command.recipient, Answer(command.stage, reply))
        self._open = False

    def _accepts(self, command: _Command, reply: Reply) -> bool:
        """Whether the reply is positive; a negative one is noted."""
        kind = reply.code // 100
        if kind == 3:
            self._break_by(command.stage, reply)
        elif kind != 2:
            self._answer(command.recipient, Answer(command.stage, reply))
        return kind == 2

    def _give_up(self, reply: Reply) -> None:
        """The server answers in the middle of the content: it will not take the rest."""
        if reply.code < 400:
            self._break_by(Stage.CONTENT, reply)
        else:
            self._hang_up(Stage.CONTENT, reply)

    # How things go on, or end

    def _say_hello(self) -> None:
        stage, verb = (Stage.LHLO, "LHLO") if self._lmtp else (Stage.EHLO, "EHLO")
        self._waiting.append(_Command(stage, f"{verb} {self._helo_name}\r\n".encode()))

    def _pump(self) -> None:
        """Send the commands that may go out now."""
        waiting, asked = self._waiting, self._asked
        while waiting and (self.extensions.pipelining or not asked):
            command = waiting.popleft()
            self._output.append(command.line)
            asked.append(command)

    def _settle(self) -> None:
        """A transaction is over when no reply is due any more."""
        if self._state not in (State.ENVELOPE, State.END):
            return
        self._state = State.READY
        self._content = None
        self._events.append(Finished())
        if self._open:
            # The server still holds an envelope, and would refuse another MAIL. The answer is not
            # waited for: it comes before that of the next MAIL.
            self._open = False
            self._waiting.append(_Command(Stage.RSET, b"RSET\r\n"))
            self._pump()

    def _answer(self, recipient: int, answer: Answer) -> None:
        answers = self._answers
        if recipient == _ALL:
            self._answers = [answer if known is None else known for known in answers]
        elif recipient != _NOBODY and answers[recipient] is None:
            answers[recipient] = answer

    def _hang_up(self, stage: Stage, reply: Reply) -> None:
        """The server ends the session with this reply."""
        in_hand = self._state in (State.ENVELOPE, State.CONTENT, State.END)
        if in_hand and stage is not Stage.RSET:
            self._answer(_ALL, Answer(stage, reply))
            self._close(Finished())
        else:
            self._refuse(stage, reply)

    def _refuse(self, stage: Stage, reply: Reply) -> None:
        """The server will not go on; a positive reply cannot mean that."""
        if reply.code < 400:
            self._break_by(stage, reply)
        else:
            self._close(Refused(stage, reply))
            if reply.code != _SERVICE_CLOSING:  # RFC 5321, 3.1: the server waits for QUIT
                self._output.append(_QUIT)

    def _break_by(self, stage: Stage, reply: Reply) -> None:
        self._break(stage, f"unexpected reply {str(reply)[:80]!r}")

    def _break(self, stage: Stage, fault: str) -> None:
        self._close(Broken(stage, fault))

    def _close(self, event: ClientEvent) -> None:
        self._state = State.CLOSED
        self._content = None
        self._events.append(event)
        self._output.clear()
        self._waiting.clear()
        self._asked.clear()
        self._parser = ReplyParser()

    def _expect(self, state: State) -> None:
        if self._state is not state:
            raise RuntimeError(f"expected a session that is {state.value}, not {self._state.value}")

    _HANDLERS: Final[dict[Stage, Callable[["ClientEngine", _Command, Reply], None]]] = {
        Stage.GREETING: _greeted,
        Stage.EHLO: _helloed,
        Stage.HELO: _helloed,
        Stage.LHLO: _helloed,
        Stage.STARTTLS: _starttls_answered,
        Stage.RSET: _reset,
        Stage.MAIL: _mailed,
        Stage.RCPT: _recipient_answered,
        Stage.DATA: _data_answered,
        Stage.END: _end_answered,
    }


def fits_command(address: str) -> bool:
    """Whether an address can be the argument of a command: SMTPUTF8 (RFC 6531) is not spoken."""
    return address.isascii() and address.isprintable()


def _wire(address: str) -> bytes:
    if not fits_command(address):
        raise ValueError(f"not an address for SMTP: {address[:80]!r}")
    return address.encode()
