"""An owner of the SMTP server engine that decides by the addresses it sees, and keeps a record.

The record is the same however the client's octets were divided: pieces of content are joined, and
those of a message that is dropped before its end are left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mta.proto.smtp.events import (
    Closed,
    Content,
    Data,
    Event,
    Mail,
    Rcpt,
    Reset,
    Signal,
    StartTls,
)
from mta.proto.smtp.replies import (
    ACCEPTED_RECIPIENT,
    ACCEPTED_SENDER,
    READY_FOR_TLS,
    START_CONTENT,
)
from mta.proto.smtp.server import Limits, ServerEngine, TlsLevel
from mta.proto.status import Status

__all__ = ["LIMITS", "Session", "converse", "replies_of"]

LIMITS = Limits(command_line=512, content_line=1000, message_size=20_000, recipients=3, errors=5)
NOT_HERE = Status(554, "5.7.1", "Relay access denied")
LATER = Status(451, "4.3.0", "Try again later")
NO_TLS = Status(454, "4.7.0", "TLS not available due to temporary problem")


@dataclass
class Session:
    """What the client got to read, and what the owner saw."""

    output: bytes = b""
    events: list[Event] = field(default_factory=list)
    writes: int = 0
    peak: int = 0  # octets that the engine held on to at most

    @property
    def replies(self) -> list[str]:
        return replies_of(self.output)

    @property
    def messages(self) -> list[bytes]:
        return [event.octets for event in self.events if isinstance(event, Content) and event.last]


def replies_of(output: bytes) -> list[str]:
    """Split what a server sent into replies; every octet of it must be a well-formed line."""
    assert not output or output.endswith(b"\r\n")
    replies: list[str] = []
    going_on = False
    for line in output.decode("ascii").split("\r\n")[:-1]:
        assert len(line) <= 510
        assert line[:3].isdigit()
        assert line[3] in " -"
        if going_on:
            assert replies[-1][:3] == line[:3]
            replies[-1] += "\n" + line
        else:
            replies.append(line)
        going_on = line[3] == "-"
    assert not going_on
    return replies


def converse(
    pieces: Iterable[bytes],
    limits: Limits = LIMITS,
    tls: TlsLevel = TlsLevel.NONE,
    over_tls: Iterable[bytes] | None = None,
) -> Session:
    """Feed the pieces one after the other, process each to the end, and keep the record.

    Those `over_tls` follow when a handshake was begun; without them STARTTLS is refused for now.
    """
    engine = ServerEngine("mx.test", limits, tls)
    session = Session()
    _feed(engine, session, pieces, NO_TLS if over_tls is None else READY_FOR_TLS)
    if over_tls is not None and StartTls() in session.events:
        engine.secured()
        _feed(engine, session, over_tls, READY_FOR_TLS)
    return session


def _feed(
    engine: ServerEngine, session: Session, pieces: Iterable[bytes], starttls: Status
) -> None:
    content = b""
    for piece in pieces:
        engine.receive(piece)
        while isinstance(event := engine.next_event(), Event):
            if isinstance(event, Content):
                content += event.octets
                if event.last:
                    session.events.append(Content(content, True))
                    content = b""
            else:
                if isinstance(event, Reset):
                    content = b""
                session.events.append(event)
            if isinstance(event, StartTls):
                engine.reply(starttls)
            elif (status := _answer(event, _verdict(session.messages))) is not None:
                engine.reply(status)
        last = session.events[-1] if session.events else None
        assert event is Signal.NEED_DATA or isinstance(last, Closed | StartTls)
        data = engine.data_to_send()
        session.writes += bool(data)
        session.output += data
        session.peak = max(session.peak, engine.buffered)


def _answer(event: Event, verdict: Status) -> Status | None:
    match event:
        case Mail():
            return LATER if event.sender == "later@client.test" else ACCEPTED_SENDER
        case Rcpt():
            return NOT_HERE if event.address.startswith("stranger") else ACCEPTED_RECIPIENT
        case Data():
            return START_CONTENT
        case Content(last=True):
            return verdict
        case _:
            return None


def _verdict(messages: list[bytes]) -> Status:
    if messages and messages[-1].startswith(b"X-Refuse:"):
        return Status(554, "5.7.1", "Message refused")
    return Status(250, "2.0.0", f"Ok: queued as {len(messages)}")
