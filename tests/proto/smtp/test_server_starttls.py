"""STARTTLS (RFC 3207): dialogues in plain text, then what the client says over TLS.

As all dialogues, each is run whole and octet by octet.
"""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp_server import LIMITS, converse

from mta.proto.smtp.events import Closed, Event, Hello, Mail, Signal, StartTls
from mta.proto.smtp.replies import READY_FOR_TLS
from mta.proto.smtp.server import ServerEngine, TlsLevel


@dataclass(frozen=True)
class Case:
    name: str
    tls: TlsLevel
    client: bytes
    replies: list[str]
    over_tls: bytes | None = None  # without it the owner has no certificate
    secure_replies: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


NONE, MAY, ENCRYPT = TlsLevel
EHLO = b"EHLO client.test\r\n"
STARTTLS = b"STARTTLS\r\n"
MAIL = b"MAIL FROM:<alice@client.test>\r\n"
RCPT = b"RCPT TO:<bob@mx.test>\r\n"
TRANSACTION = MAIL + RCPT + b"DATA\r\nx\r\n.\r\n"
HEAD, TAIL = (
    "250-mx.test\n250-PIPELINING\n250-SIZE 20000\n",
    "250-ENHANCEDSTATUSCODES\n250 8BITMIME",
)
HELLO = HEAD + TAIL
OFFER = HEAD + "250-STARTTLS\n" + TAIL
SENDER = "250 2.1.0 Ok"
RECIPIENT = "250 2.1.5 Ok"
OK = "250 2.0.0 Ok"
BYE = "221 2.0.0 Bye"
QUEUED = (SENDER, RECIPIENT, "354 End data with <CR><LF>.<CR><LF>", "250 2.0.0 Ok: queued as 1")
READY = "220 2.0.0 Ready to start TLS"
NOT_NOW = "454 4.7.0 TLS not available due to temporary problem"
FIRST = "530 5.7.0 Must issue a STARTTLS command first"
NO_HELLO = "503 5.5.1 Error: send HELO/EHLO first"
NO_MAIL = "503 5.5.1 Error: need MAIL command"
UNIMPLEMENTED = "502 5.5.1 Error: command not implemented"
SYNTAX = "501 5.5.4 Syntax: STARTTLS"
TWICE = "554 5.5.1 Error: TLS already active"

CASES = [
    Case("not offered, not known", NONE, EHLO + STARTTLS, [HELLO, UNIMPLEMENTED], b""),
    Case(
        "a message over TLS",
        MAY,
        EHLO + STARTTLS,
        [OFFER, READY],
        EHLO + TRANSACTION + b"QUIT\r\n",
        (HELLO, *QUEUED, BYE),
    ),
    Case("nobody has to", MAY, EHLO + TRANSACTION, [OFFER, *QUEUED], b""),
    Case("before EHLO", MAY, STARTTLS, [READY], EHLO, (HELLO,)),
    Case("in lower case", MAY, b"starttls \r\n", [READY], EHLO, (HELLO,)),
    Case("with an argument", MAY, EHLO + b"STARTTLS now\r\n", [OFFER, SYNTAX], b""),
    Case("twice", MAY, EHLO + STARTTLS, [OFFER, READY], EHLO + STARTTLS, (HELLO, TWICE)),
    Case(
        "EHLO is forgotten",
        MAY,
        EHLO + STARTTLS,
        [OFFER, READY],
        TRANSACTION[: len(MAIL + RCPT)] + EHLO + MAIL,
        (NO_HELLO, NO_HELLO, HELLO, SENDER),
    ),
    Case(
        "a transaction is forgotten",
        MAY,
        EHLO + MAIL + RCPT + STARTTLS,
        [OFFER, SENDER, RECIPIENT, READY],
        EHLO + RCPT + b"DATA\r\n",
        (HELLO, NO_MAIL, NO_MAIL),
    ),
    Case(
        "what was injected behind STARTTLS is not executed",
        MAY,
        EHLO + STARTTLS + b"RSET\r\n" + EHLO + MAIL + RCPT,
        [OFFER, READY],
        EHLO + RCPT,
        (HELLO, NO_MAIL),
    ),
    Case(
        "half a command was injected",
        MAY,
        EHLO + STARTTLS + b"MAIL FROM:<mallory@",
        [OFFER, READY],
        b"client.test>\r\nNOOP\r\n",
        ("500 5.5.2 Error: command not recognized", OK),
    ),
    Case(
        "the end of an endless line was injected",
        MAY,
        STARTTLS + b"x" * 5000,
        [READY],
        b"NOOP\r\n",
        (OK,),
    ),
    Case(
        "without a certificate the session goes on",
        MAY,
        EHLO + MAIL + STARTTLS + RCPT + b"DATA\r\nx\r\n.\r\n",
        [OFFER, SENDER, NOT_NOW, *QUEUED[1:]],
    ),
    Case(
        "required",
        ENCRYPT,
        EHLO + MAIL + RCPT + b"DATA\r\n",
        [OFFER, FIRST, FIRST, FIRST],
        b"",
    ),
    Case(
        "what may be said before",
        ENCRYPT,
        b"NOOP\r\nHELO x\r\nRSET\r\nVRFY x\r\nHELP\r\nQUIT\r\n",
        [OK, FIRST, FIRST, FIRST, FIRST, BYE],
        b"",
    ),
    Case(
        "required, and done",
        ENCRYPT,
        EHLO + MAIL + STARTTLS,
        [OFFER, FIRST, READY],
        EHLO + TRANSACTION,
        (HELLO, *QUEUED),
    ),
    Case(
        "required, but our certificate fails: no reason to bounce",
        ENCRYPT,
        EHLO + STARTTLS + MAIL + RCPT + STARTTLS + b"QUIT\r\n",
        [OFFER, NOT_NOW, NOT_NOW, NOT_NOW, NOT_NOW, BYE],
    ),
    Case(
        "errors are not forgotten",
        MAY,
        b"FOO\r\n" * 4 + STARTTLS,
        ["500 5.5.2 Error: command not recognized"] * 4 + [READY],
        b"FOO\r\n",
        ("500 5.5.2 Error: command not recognized", "421 4.7.0 Error: too many errors"),
    ),
    Case(
        "HELP tells of it",
        MAY,
        b"HELP\r\n",
        ["214 2.0.0 Commands: HELO EHLO STARTTLS MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"],
        b"",
    ),
]


def octets(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize("case", CASES, ids=str)
class TestDialogue:
    def test_whole(self, case: Case) -> None:
        over_tls = None if case.over_tls is None else [case.over_tls]
        session = converse([case.client], LIMITS, case.tls, over_tls)
        assert session.replies == [*case.replies, *case.secure_replies]

    def test_octet_by_octet(self, case: Case) -> None:
        over_tls = None if case.over_tls is None else octets(case.over_tls)
        session = converse(octets(case.client), LIMITS, case.tls, over_tls)
        assert session.replies == [*case.replies, *case.secure_replies]


WORDS = st.sampled_from([EHLO, STARTTLS, MAIL, RCPT, b"RSET\r\n", b"NOOP\r\n", b"x", b"\r\n"])


@given(before=st.lists(WORDS, max_size=6), injected=st.lists(WORDS | st.binary(max_size=9)))
def test_nothing_said_in_plain_text_shows_over_tls(
    before: list[bytes], injected: list[bytes]
) -> None:
    over_tls = [EHLO, RCPT, MAIL, RCPT]
    pieces = [*before, b"\r\n", STARTTLS]
    honest = converse([b"".join(pieces)], LIMITS, MAY, over_tls)
    attacked = converse([b"".join([*pieces, *injected])], LIMITS, MAY, over_tls)
    assert attacked.output == honest.output


def run(engine: ServerEngine) -> list[Event | Signal]:
    seen: list[Event | Signal] = []
    while not isinstance(event := engine.next_event(), Signal):
        seen.append(event)
        if isinstance(event, StartTls):
            engine.reply(READY_FOR_TLS)
    return [*seen, event]


def test_nothing_happens_between_the_220_and_the_handshake() -> None:
    engine = ServerEngine("mx.test", LIMITS, MAY)
    engine.receive(EHLO + STARTTLS + MAIL)
    assert run(engine) == [Hello("client.test", True), StartTls(), Signal.PAUSED]
    waiting = not engine.between
    assert waiting
    engine.receive(MAIL)
    assert engine.buffered == 0
    assert run(engine) == [Signal.PAUSED]
    engine.secured()
    assert engine.secure
    assert engine.between
    engine.receive(EHLO + MAIL)
    assert run(engine) == [Hello("client.test", True), Mail("alice@client.test"), Signal.PAUSED]


def test_an_owner_cannot_claim_a_handshake_that_nobody_began() -> None:
    engine = ServerEngine("mx.test", LIMITS, MAY)
    with pytest.raises(RuntimeError, match="no handshake"):
        engine.secured()


def test_the_session_ends_as_ever() -> None:
    session = converse([STARTTLS], LIMITS, MAY, [b"QUIT\r\n"])
    assert isinstance(session.events[-1], Closed)
