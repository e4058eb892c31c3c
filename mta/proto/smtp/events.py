"""What a client did, as the server's owner sees it: frozen events, in the order of the session.

    event           answer expected     meaning
    Hello           -                   the session is opened; an open transaction is over
    Mail            reply()             a transaction is asked for
    Rcpt            reply()             one more recipient is asked for
    Data            reply()             the envelope is complete: START_CONTENT or a refusal
    Content         reply() if `last`   a piece of the message; the verdict after the last one
    Reset           -                   the transaction is over: drop it, say nothing
    StartTls        reply()             READY_FOR_TLS, the handshake, then secured(); or a refusal
    Rejected        -                   the engine itself refused a command; for the log
    Closed          -                   send what is left, then close

A `Signal` is what comes when there is no event: more octets, or an answer, must come first.
"""

import enum

from msgspec import Struct

from mta.proto.status import Status

__all__ = [
    "Closed",
    "Content",
    "Data",
    "Event",
    "Hello",
    "Mail",
    "Rcpt",
    "Rejected",
    "Reset",
    "Signal",
    "StartTls",
]


class Signal(enum.Enum):
    """Why there is no event."""

    NEED_DATA = "need data"  # receive() first
    PAUSED = "paused"  # reply() first, or nothing ever again after Closed


class Hello(Struct, frozen=True):
    """HELO or, `extended`, EHLO (RFC 5321, 4.1.1.1); already answered."""

    name: str
    extended: bool


class Mail(Struct, frozen=True):
    """MAIL (4.1.1.2): canonical reverse-path, "" for the null one; `size` in octets, 0 unknown."""

    sender: str
    size: int = 0
    body_8bit: bool = False


class Rcpt(Struct, frozen=True):
    """RCPT (4.1.1.3): the forward-path in canonical form, and as the client wrote it."""

    address: str
    original: str


class Data(Struct, frozen=True):
    """DATA (4.1.1.4) with at least one accepted recipient."""


class Content(Struct, frozen=True):
    """A piece of the message with its dots unstuffed; the message is complete with the `last`."""

    octets: bytes
    last: bool


class Reset(Struct, frozen=True):
    """The transaction is over: RSET, or content that is already known to be refused."""


class StartTls(Struct, frozen=True):
    """STARTTLS (RFC 3207, 4); when it is accepted, what the client said before it is forgotten."""


class Rejected(Struct, frozen=True):
    """The engine refused `command` by itself, with this status."""

    command: str
    status: Status


class Closed(Struct, frozen=True):
    """The session is over; whatever the client still sends is discarded."""


Event = Hello | Mail | Rcpt | Data | Content | Reset | StartTls | Rejected | Closed
