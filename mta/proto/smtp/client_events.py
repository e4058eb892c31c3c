"""What a server's replies mean to the owner of a client's engine: frozen events.

    event            the owner then
    Ready            may give the session a mail, or ask for TLS
    Refused          closes: there is no session; `elsewhere`: another host may do better
    TlsAgreed        shakes hands, then says `tls_started`
    TlsDeclined      goes on in plain text, or closes
    ContentWanted    sends the content, then its end
    Concluded        reads the verdicts; the session may be used again if it is still usable

A `Signal` is what comes when there is no event: replies must come first.
"""

import enum

from msgspec import Struct

from mta.proto.status import Status

__all__ = [
    "Concluded",
    "ContentWanted",
    "Event",
    "Ready",
    "Refused",
    "Stage",
    "TlsAgreed",
    "TlsDeclined",
    "Verdict",
]


class Stage(enum.Enum):
    """What is being done, in Postfix's words; the stages have timeouts of their own."""

    GREETING = "receiving the initial server greeting"
    HELLO = "performing the EHLO handshake"
    TLS = "performing the TLS handshake"
    RESET = "sending RSET"
    MAIL = "sending MAIL FROM"
    RCPT = "sending RCPT TO"
    DATA = "sending DATA command"
    BODY = "sending message body"
    END = "sending end of data -- message may be sent more than once"


class Verdict(Struct, frozen=True):
    """What became of one recipient; `elsewhere`: another host may be tried at once."""

    status: Status
    elsewhere: bool


class Ready(Struct, frozen=True):
    """The session is opened."""


class Refused(Struct, frozen=True):
    """There is no session, or no more."""

    status: Status
    elsewhere: bool


class TlsAgreed(Struct, frozen=True):
    """The server waits for the handshake."""


class TlsDeclined(Struct, frozen=True):
    """The server will have none now."""

    status: Status


class ContentWanted(Struct, frozen=True):
    """At least one recipient is accepted and the server waits for the message."""


class Concluded(Struct, frozen=True):
    """The transaction is over: one verdict for each recipient, in their order."""

    verdicts: tuple[Verdict, ...]


Event = Ready | Refused | TlsAgreed | TlsDeclined | ContentWanted | Concluded
