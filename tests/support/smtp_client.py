"""An owner of the SMTP client engine that sends the messages it is given, and keeps a record.

What the server says is cut into turns: one ends where the owner acts. Within a turn its octets may
be divided at will, and the record must be the same.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mta.proto.smtp.client import ClientEngine
from mta.proto.smtp.client_events import (
    Answer,
    ClientEvent,
    Finished,
    GoAhead,
    Ready,
    StartTls,
)

__all__ = ["Letter", "Record", "bytewise", "play", "whole"]


@dataclass(frozen=True)
class Letter:
    """One message."""

    sender: str = "alice@client.test"
    recipients: tuple[str, ...] = ("bob@mx.test",)
    content: bytes = b"Subject: hi\r\n\r\nhi\r\n"
    body_8bit: bool = False


@dataclass
class Record:
    """What the owner sent in each turn, and what it saw."""

    sent: list[bytes] = field(default_factory=list)
    events: list[ClientEvent] = field(default_factory=list)
    answers: list[tuple[Answer | None, ...]] = field(default_factory=list)
    peak: int = 0  # octets that the engine held on to at most
    closed: bool = False


def whole(turn: bytes) -> Iterable[bytes]:
    """A turn as one piece."""
    return (turn,)


def bytewise(turn: bytes) -> Iterable[bytes]:
    """A turn octet by octet."""
    return (turn[i : i + 1] for i in range(len(turn)))


def play(
    engine: ClientEngine,
    turns: Sequence[bytes],
    letters: Sequence[Letter] = (),
    cut: Callable[[bytes], Iterable[bytes]] = whole,
    *,
    at_hand: bool = False,
) -> Record:
    """Feed the turns, and act by the events: begin each letter, send it, then quit.

    `at_hand`: the engine gets each letter's content when it begins.
    """
    record = Record()
    waiting = list(letters)
    in_hand: list[Letter] = []
    for turn in turns:
        sent = b""
        for piece in cut(turn):
            engine.receive(piece)
            record.peak = max(record.peak, engine.buffered)
            sent += engine.data_to_send()
        while (event := engine.next_event()) is not None:
            record.events.append(event)
            if isinstance(event, Finished):
                record.answers.append(engine.answers)
            _act(engine, event, waiting, in_hand, at_hand=at_hand)
        record.sent.append(sent + engine.data_to_send())
    record.closed = engine.closed
    return record


def _act(
    engine: ClientEngine,
    event: ClientEvent,
    waiting: list[Letter],
    in_hand: list[Letter],
    *,
    at_hand: bool,
) -> None:
    if isinstance(event, StartTls) and not engine.closed:
        engine.tls_started()
    elif isinstance(event, GoAhead):
        engine.content(in_hand[-1].content)
        engine.end_content()
    elif isinstance(event, Ready | Finished) and engine.ready:
        if not waiting:
            engine.quit()
            return
        letter = waiting.pop(0)
        in_hand.append(letter)
        engine.begin(
            letter.sender,
            letter.recipients,
            len(letter.content),
            body_8bit=letter.body_8bit,
            content=letter.content if at_hand else None,
        )
