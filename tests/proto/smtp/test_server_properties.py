"""What holds for every client, however broken or hostile it is."""

from hypothesis import example, given
from hypothesis import strategies as st
from support.dialogue import dot_stuffed
from support.smtp_server import LIMITS, converse

from mta.proto.smtp.events import Closed, Hello, Mail, Signal
from mta.proto.smtp.server import Limits, ServerEngine
from mta.proto.status import Status

ENVELOPE = b"EHLO client.test\r\nMAIL FROM:<alice@client.test>\r\nRCPT TO:<bob@mx.test>\r\nDATA\r\n"
WORDS = [
    *(b"EHLO client.test", b"HELO x", b"MAIL FROM:<a@client.test>", b"MAIL FROM:<> SIZE=9"),
    *(b"RCPT TO:<bob@mx.test>", b"RCPT TO:<stranger@x.test>", b"DATA", b"RSET", b"NOOP", b"QUIT"),
    *(b"VRFY x", b"HELP", b"BDAT 5", b".", b"..", b"\r", b"\n", b"\0", b"\xff", b" ", b"<", b'"'),
]
octets = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.just(b"\r\n"),
        st.just(b"\r\n"),
        st.binary(max_size=8),
        st.binary(min_size=1, max_size=1).map(lambda octet: octet * 600),
    ),
    max_size=30,
).map(b"".join)
wide = Limits(command_line=512, content_line=1000, message_size=20_000, recipients=3, errors=10**6)


@given(octets, st.integers(1, 700))
def test_no_octets_upset_the_engine(wire: bytes, piece: int) -> None:
    whole = converse([wire])
    pieces = converse(wire[i : i + piece] for i in range(0, len(wire), piece))
    assert pieces.output == whole.output
    assert pieces.events == whole.events


@given(st.lists(st.sampled_from([word for word in WORDS if word not in (b"DATA", b"QUIT")])))
def test_every_command_has_one_reply(lines: list[bytes]) -> None:
    wire = b"".join(b"%b\r\n" % line for line in lines)
    assert len(converse([wire], wide).replies) == wire.count(b"\r\n")


@given(octets, st.sampled_from([b"", ENVELOPE]))
def test_memory_is_bounded(wire: bytes, before: bytes) -> None:
    wire = before + wire
    session = converse(wire[i : i + 1] for i in range(len(wire)))
    assert session.peak <= LIMITS.command_line


@given(st.lists(st.one_of(st.just(b"\r\n"), st.just(b"."), st.binary(max_size=20))), st.integers(1))
@example([b"."], 1)
@example([b".", b"\r\n", b".", b"."], 2)
def test_content_arrives_as_it_was(parts: list[bytes], piece: int) -> None:
    clean = [part if part == b"\r\n" else part.translate(None, b"\r\n") for part in parts]
    message = b"".join(clean)
    if message and not message.endswith(b"\r\n"):
        message += b"\r\n"
    wire = ENVELOPE + (dot_stuffed(message) if message else b".\r\n") + b"NOOP\r\n"
    session = converse(wire[i : i + piece] for i in range(0, len(wire), piece))
    assert session.messages == [message]
    assert session.replies[4:] == ["250 2.0.0 Ok: queued as 1", "250 2.0.0 Ok"]


def test_a_reply_is_awaited_before_anything_else_is_processed() -> None:
    engine = ServerEngine("mx.test", LIMITS)
    engine.receive(b"EHLO client.test\r\nMAIL FROM:<alice@client.test>\r\nNOOP\r\nQUIT\r\n")
    engine.next_event()
    engine.next_event()
    engine.data_to_send()
    assert engine.next_event() is Signal.PAUSED
    assert engine.data_to_send() == b""
    assert engine.buffered == len(b"NOOP\r\nQUIT\r\n")
    engine.reply(Status(250, "2.1.0", "Ok"))
    assert engine.next_event() == Closed()
    assert engine.next_event() is Signal.PAUSED
    assert engine.data_to_send() == b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n"


def test_shut_down_says_one_thing_and_discards_the_rest() -> None:
    engine = ServerEngine("mx.test", LIMITS)
    engine.greet("mx.test ESMTP")
    engine.receive(b"EHLO client.test\r\n")
    engine.shut_down(Status(421, "4.3.2", "Service shutting down"))
    engine.receive(b"NOOP\r\n")
    assert engine.next_event() == Closed()
    assert engine.data_to_send() == b"220 mx.test ESMTP\r\n421 4.3.2 Service shutting down\r\n"


def test_between_transactions() -> None:
    engine = ServerEngine("mx.test", LIMITS)
    between = [engine.between]
    for piece in (b"EHLO client.te", b"st\r\nMAIL FROM:<>\r\n"):
        engine.receive(piece)
        between.append(engine.between)
    events = [engine.next_event() for _ in range(3)]
    assert events == [Hello("client.test", True), Mail(""), Signal.PAUSED]
    between.append(engine.between)
    engine.reply(Status(250, "2.1.0", "Ok"))
    between.append(engine.between)
    engine.receive(b"RSET\r\n")
    engine.next_event()
    between.append(engine.between)
    assert between == [True, False, False, False, False, True]
