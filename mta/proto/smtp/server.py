"""The server's half of an SMTP session as a state machine without IO.

                   HELO, EHLO   MAIL     RCPT     DATA      RSET     NOOP VRFY HELP   QUIT
    START          READY        503      503      503       START    same             CLOSED
    READY          READY        MAIL     503      503       READY    same             CLOSED
    MAIL           READY        503      RCPT     554       READY    same             CLOSED
    RCPT           READY        503      RCPT     CONTENT   READY    same             CLOSED
    CONTENT        octets are content up to CRLF.CRLF, then READY
    HANDSHAKE      octets are discarded, for they came in plain text; then START
    CLOSED         octets are discarded

STARTTLS (RFC 3207) leads from START, READY, MAIL and RCPT to HANDSHAKE, once in a session. Where
TLS is required, all but NOOP, EHLO, STARTTLS and QUIT is refused until then.

Every command gets one reply, in order; a session of too many errors ends with one 421 more. The
owner feeds octets (`receive`), takes events (`next_event`) and answers those that ask for it
(`reply`), then sends `data_to_send()`: whatever came in one group is answered in one write
(RFC 2920, 3.2).
"""

import enum
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from mta.proto.smtp import grammar, replies
from mta.proto.smtp.buffer import ReceiveBuffer
from mta.proto.smtp.content import ContentDecoder
from mta.proto.smtp.events import (
    Closed,
    Content,
    Data,
    Event,
    Hello,
    Mail,
    Rcpt,
    Rejected,
    Reset,
    Signal,
    StartTls,
)
from mta.proto.status import MailError, Status, permanent

__all__ = ["Limits", "ServerEngine", "TlsLevel"]


class TlsLevel(enum.Enum):
    """What a session owes to privacy: Postfix's smtpd_tls_security_level."""

    NONE = "none"  # STARTTLS is unknown
    MAY = "may"  # offered
    ENCRYPT = "encrypt"  # required


class Limits(Struct, frozen=True, kw_only=True):
    """What one session may cost us."""

    command_line: int  # octets, CRLF included
    content_line: int  # octets, CRLF included
    message_size: int  # octets
    recipients: int  # accepted ones of one message
    errors: int  # refused commands since the last accepted message


class State(enum.StrEnum):
    """Where the session stands; a string, for that is found in a table without Python's help."""

    START = "start"
    READY = "ready"
    MAIL = "mail"
    RCPT = "rcpt"
    CONTENT = "content"
    HANDSHAKE = "handshake"
    CLOSED = "closed"


_NO_HELLO: Final = Status(503, "5.5.1", "Error: send HELO/EHLO first")
_NESTED: Final = Status(503, "5.5.1", "Error: nested MAIL command")
_NO_MAIL: Final = Status(503, "5.5.1", "Error: need MAIL command")
_NO_RECIPIENT: Final = Status(554, "5.5.1", "Error: no valid recipients")

_OUT_OF_ORDER: Final = {
    (State.START, "MAIL"): _NO_HELLO,
    (State.START, "RCPT"): _NO_HELLO,
    (State.START, "DATA"): _NO_HELLO,
    (State.READY, "RCPT"): _NO_MAIL,
    (State.READY, "DATA"): _NO_MAIL,
    (State.MAIL, "MAIL"): _NESTED,
    (State.MAIL, "DATA"): _NO_RECIPIENT,
    (State.RCPT, "MAIL"): _NESTED,
}

# The answer to an event -> the state that follows. A refused RCPT changes nothing.
_ACCEPTED: Final = {
    Mail: State.MAIL,
    Rcpt: State.RCPT,
    Data: State.CONTENT,
    Content: State.READY,
    StartTls: State.HANDSHAKE,
}
_REFUSED: Final = {Mail: State.READY, Data: State.READY, Content: State.READY}

_OK: Final = Status(250, "2.0.0", "Ok")
_BYE: Final = Status(221, "2.0.0", "Bye")
_CANNOT_VERIFY: Final = Status(252, "2.1.5", "Cannot VRFY user, but will take mail for it")
_TOO_MANY_RECIPIENTS: Final = Status(452, "4.5.3", "Error: too many recipients")
_TOO_MANY_ERRORS: Final = Status(421, "4.7.0", "Error: too many errors")
_UNKNOWN: Final = Status(500, "5.5.2", "Error: command not recognized")
_UNIMPLEMENTED: Final = Status(502, "5.5.1", "Error: command not implemented")
_KNOWN_ELSEWHERE: Final = frozenset(
    ("AUTH", "BDAT", "BURL", "ETRN", "EXPN", "SAML", "SEND", "SOML", "TURN")
)
_TLS_FIRST: Final = Status(530, "5.7.0", "Must issue a STARTTLS command first")
_TLS_TWICE: Final = Status(554, "5.5.1", "Error: TLS already active")
_BEFORE_TLS: Final = frozenset(("NOOP", "EHLO", "STARTTLS", "QUIT"))  # RFC 3207, 4


class ServerEngine:
    """One SMTP session; `hostname` is the name in the answers to HELO and EHLO.

    `soft_bounce`: whatever would be refused for good is refused for now, so that no mail bounces.

    Memory is bounded by one command line, by what is received while an answer is awaited (stop
    reading then), and by the replies that were not taken.
    """

    def __init__(
        self,
        hostname: str,
        limits: Limits,
        tls: TlsLevel = TlsLevel.NONE,
        *,
        soft_bounce: bool = False,
    ) -> None:
        self.commands = 0  # lines taken as commands, for the log
        self.secure = False  # TLS is on
        self._tls = tls
        self._insecure = _TLS_FIRST if tls is TlsLevel.ENCRYPT else None  # the reply while it is so
        self._hostname = hostname
        self._limits = limits
        self._soft_bounce = soft_bounce
        self._buffer = ReceiveBuffer(limits.command_line)
        self._output: list[bytes] = []
        self._state = State.START
        self._awaiting: type[Event] | None = None  # the event that waits for an answer
        self._decoder: ContentDecoder | None = None
        self._dropped = False  # the owner was told that the content is doomed
        self._recipients = 0
        self._errors = 0
        self._end_told = False

    @property
    def buffered(self) -> int:
        """Octets received and not processed."""
        return len(self._buffer)

    @property
    def in_content(self) -> bool:
        """Whether octets are content: from the acceptance of Data to the verdict."""
        return self._state is State.CONTENT

    @property
    def between(self) -> bool:
        """Whether no transaction, no command and no part of one is in hand."""
        quiet = self._state is State.START or self._state is State.READY
        return quiet and self._awaiting is None and not len(self._buffer)

    def greet(self, text: str) -> None:
        """Open the session with 220 (RFC 5321, 4.3.1); the text begins with the host's name."""
        self._output.append(replies.encode_bare(220, text))

    def receive(self, data: bytes) -> None:
        """Take what the client sent; any division of the octets means the same."""
        if self._state is not State.CLOSED and self._state is not State.HANDSHAKE:
            self._buffer.append(data)

    def data_to_send(self) -> bytes:
        """Take the replies that are due, all at once; empty if there are none."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def next_event(self) -> Event | Signal:
        """The next thing that the client did, or why there is none."""
        while self._awaiting is None and self._state is not State.HANDSHAKE:
            if self._state is State.CLOSED:
                return self._tell_end()
            if self._state is State.CONTENT:
                return self._next_content()
            command = ""
            try:
                line = self._buffer.take_line()
                if line is None:
                    return Signal.NEED_DATA
                self.commands += 1
                head, _, argument = line.partition(b" ")
                command = head.decode("ascii", "backslashreplace").upper()
                event = self._command(command, argument)
            except MailError as error:
                return self._reject(command, error.status)
            if event is not None:
                return event
        return Signal.PAUSED

    def reply(self, status: Status) -> None:
        """Answer the event that waits: below 400 it is accepted, otherwise refused.

        Data is accepted with replies.START_CONTENT, StartTls with replies.READY_FOR_TLS. A refused
        Data or Content ends the transaction.
        """
        awaiting = self._awaiting
        if awaiting is None:
            raise RuntimeError("no event waits for an answer")
        self._awaiting = None
        self._say(status)
        if status.code >= 400:
            self._state = _REFUSED.get(awaiting, self._state)
            if status.is_permanent:
                self._count_error()
            if awaiting is StartTls and self._insecure is not None:
                self._insecure = status  # the fault is ours: mail is not to bounce for it
            return
        self._state = _ACCEPTED[awaiting]
        if awaiting is Rcpt:
            self._recipients += 1
        elif awaiting is Mail:
            self._recipients = 0
        elif awaiting is Data:
            limits = self._limits
            self._decoder = ContentDecoder(self._buffer, limits.message_size, limits.content_line)
            self._dropped = False
        elif awaiting is StartTls:
            # What follows in the same group was sent in plain text, by whomever (CVE-2011-0411).
            self._buffer.clear()
        else:
            self._errors = 0

    def secured(self) -> None:
        """The handshake is done: what follows in `receive` came over TLS.

        Nothing that the client said before is known any more (RFC 3207, 4.2).
        """
        if self._state is not State.HANDSHAKE:
            raise RuntimeError("no handshake was begun")
        self._state = State.START
        self.secure = True
        self._insecure = None

    def shut_down(self, status: Status) -> None:
        """End the session from our side with one reply, usually 421 (RFC 5321, 3.8)."""
        if self._state is not State.CLOSED:
            self._output.append(replies.encode(status))
            self._close()

    def _command(self, verb: str, argument: bytes) -> Event | None:
        handler = self._HANDLERS.get(verb)
        if handler is None:
            raise MailError(_UNIMPLEMENTED if verb in _KNOWN_ELSEWHERE else _UNKNOWN)
        if self._insecure is not None and verb not in _BEFORE_TLS:
            raise MailError(self._insecure)
        refusal = _OUT_OF_ORDER.get((self._state, verb))
        if refusal is not None:
            raise MailError(refusal)
        event = handler(self, verb, argument.rstrip(b" \t"))
        kind = type(event)
        if kind in _ACCEPTED:
            self._awaiting = kind
        return event

    def _hello(self, verb: str, argument: bytes) -> Event:
        name = grammar.parse_hello(verb, argument)
        self._state = State.READY
        if verb == "EHLO":
            starttls = self._tls is not TlsLevel.NONE and not self.secure
            size_limit = self._limits.message_size
            self._output.append(replies.extensions(self._hostname, size_limit, starttls))
        else:
            self._output.append(replies.encode_bare(250, self._hostname))
        return Hello(name, verb == "EHLO")

    def _starttls(self, verb: str, argument: bytes) -> Event:
        if self._tls is TlsLevel.NONE:
            raise MailError(_UNIMPLEMENTED)
        grammar.check_no_argument(verb, argument)
        if self.secure:
            raise MailError(_TLS_TWICE)
        return StartTls()

    def _mail(self, _verb: str, argument: bytes) -> Event:
        event = grammar.parse_mail(argument)
        if event.size > self._limits.message_size:
            permanent("5.3.4", "Error: message size exceeds fixed limit", code=552)
        return event

    def _rcpt(self, _verb: str, argument: bytes) -> Event:
        event = grammar.parse_rcpt(argument)
        if self._recipients >= self._limits.recipients:
            raise MailError(_TOO_MANY_RECIPIENTS)
        return event

    def _data(self, verb: str, argument: bytes) -> Event:
        grammar.check_no_argument(verb, argument)
        return Data()

    def _reset(self, verb: str, argument: bytes) -> Event | None:
        grammar.check_no_argument(verb, argument)
        self._output.append(replies.encode(_OK))
        if self._state is State.START:
            return None
        self._state = State.READY
        return Reset()

    def _noop(self, _verb: str, _argument: bytes) -> None:
        self._output.append(replies.encode(_OK))

    def _verify(self, verb: str, argument: bytes) -> None:
        if not argument:
            permanent("5.5.4", f"Syntax: {verb} address", code=501)
        self._output.append(replies.encode(_CANNOT_VERIFY))

    def _help(self, _verb: str, _argument: bytes) -> None:
        known = self._tls is not TlsLevel.NONE
        verbs = " ".join(verb for verb in self._HANDLERS if known or verb != "STARTTLS")
        self._output.append(replies.encode(Status(214, "2.0.0", f"Commands: {verbs}")))

    def _quit(self, verb: str, argument: bytes) -> Event | None:
        grammar.check_no_argument(verb, argument)
        self.shut_down(_BYE)
        return None

    def _next_content(self) -> Event | Signal:
        decoder = self._decoder
        assert decoder is not None
        octets = b"" if decoder.complete else decoder.decode(self._buffer)
        fault = decoder.fault
        if fault is not None:
            if not self._dropped:
                self._dropped = True
                return Reset()
            if not decoder.complete:
                return Signal.NEED_DATA
            self._state = State.READY
            self._decoder = None
            return self._reject("DATA", fault)
        if decoder.complete:
            self._awaiting = Content
            self._decoder = None
        elif not octets:
            return Signal.NEED_DATA
        return Content(octets, decoder.complete)

    def _say(self, status: Status) -> None:
        told = status.softened if self._soft_bounce else status
        self._output.append(replies.encode(told))

    def _reject(self, command: str, status: Status) -> Event:
        self._say(status)
        if status.is_permanent:
            self._count_error()
        return Rejected(command[:64], status)

    def _count_error(self) -> None:
        """Only permanent errors count: 452 for a surplus recipient is no client's fault."""
        self._errors += 1
        if self._errors >= self._limits.errors:
            self.shut_down(_TOO_MANY_ERRORS)

    def _close(self) -> None:
        self._state = State.CLOSED
        self._awaiting = None
        self._decoder = None
        self._buffer.clear()

    def _tell_end(self) -> Event | Signal:
        if self._end_told:
            return Signal.PAUSED
        self._end_told = True
        return Closed()

    _HANDLERS: Final[dict[str, Callable[["ServerEngine", str, bytes], Event | None]]] = {
        "HELO": _hello,
        "EHLO": _hello,
        "STARTTLS": _starttls,
        "MAIL": _mail,
        "RCPT": _rcpt,
        "DATA": _data,
        "RSET": _reset,
        "NOOP": _noop,
        "VRFY": _verify,
        "HELP": _help,
        "QUIT": _quit,
    }
