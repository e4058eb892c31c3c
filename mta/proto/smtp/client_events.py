"""What a server did, as the client's owner sees it: frozen events, in the order of the session.

    event      the owner's turn            meaning
    StartTls   tls_started()               the server awaits a handshake
    Ready      begin() or quit()           the session is open
    GoAhead    content() ... end_content() 354: the server takes content, and `begin` got none
    Finished   begin() or quit()           the transaction is over: see `answers`, and `closed`
    Refused    close                       the server will not go on; no recipient is to blame
    Broken     close                       what came is no SMTP; nothing can be understood any more

After Refused and Broken the engine is closed; after Finished it may be: then the server ended the
session with its answer.
"""

import enum

from msgspec import Struct

from mta.proto.smtp.client_replies import Reply

__all__ = [
    "Answer",
    "Broken",
    "ClientEvent",
    "Finished",
    "GoAhead",
    "Ready",
    "Refused",
    "Stage",
    "StartTls",
]


class Stage(enum.Enum):
    """What the server is to answer next: in Postfix's words, what we do and what it replies to."""

    GREETING = ("receiving the initial server greeting", "greeting")
    EHLO = ("performing the EHLO handshake", "EHLO command")
    HELO = ("performing the HELO handshake", "HELO command")
    LHLO = ("performing the LHLO handshake", "LHLO command")
    STARTTLS = ("performing the STARTTLS handshake", "STARTTLS command")
    IDLE = ("waiting for the next message", "no command")
    RSET = ("sending RSET", "RSET command")
    MAIL = ("sending MAIL FROM", "MAIL FROM command")
    RCPT = ("sending RCPT TO", "RCPT TO command")
    DATA = ("receiving the answer to DATA", "DATA command")
    CONTENT = ("sending message body", "message body")
    END = ("sending end of data -- message may be sent more than once", "end of DATA command")

    __hash__ = object.__hash__  # Enum's own is no C, and stages are looked up for each reply

    def __init__(self, doing: str, command: str) -> None:
        self.doing = doing
        self.command = command


class Answer(Struct, frozen=True):
    """The server's last word on one recipient, and what it was the answer to."""

    stage: Stage
    reply: Reply


class StartTls(Struct, frozen=True):
    """220 to STARTTLS (RFC 3207, 4): handshake now."""


class Ready(Struct, frozen=True):
    """The server took EHLO, HELO or LHLO."""


class GoAhead(Struct, frozen=True):
    """354 to DATA, and at least one recipient was accepted."""


class Finished(Struct, frozen=True):
    """Every recipient has its answer."""


class Refused(Struct, frozen=True):
    """No session, or the end of one: a reply that is not about any recipient."""

    stage: Stage
    reply: Reply


class Broken(Struct, frozen=True):
    """The server broke the protocol; `fault` tells how."""

    stage: Stage
    fault: str


ClientEvent = StartTls | Ready | GoAhead | Finished | Refused | Broken
