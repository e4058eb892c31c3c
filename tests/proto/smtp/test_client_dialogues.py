"""SMTP and LMTP dialogues from the client's side: what the server says, and what it gets to hear.

Each is run whole, octet by octet, cut at random places, and with the beginning of something more
behind it: the result must be the same.
"""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp_client import Letter, Record, bytewise, play, whole

from mta.proto.smtp.client import ClientEngine
from mta.proto.smtp.client_events import (
    Broken,
    ClientEvent,
    Finished,
    GoAhead,
    Ready,
    Refused,
    StartTls,
)


@dataclass(frozen=True)
class Case:
    """Turn by turn what the server says and what it hears; of each letter the last words."""

    name: str
    turns: list[tuple[bytes, bytes]]
    answers: tuple[tuple[str, ...], ...] = ()
    events: tuple[ClientEvent, ...] | None = None  # all of them, where they matter
    letters: tuple[Letter, ...] = (Letter(),)
    lmtp: bool = False
    starttls: bool = True

    def __str__(self) -> str:
        return self.name

    def engine(self) -> ClientEngine:
        return ClientEngine("client.test", lmtp=self.lmtp, starttls=self.starttls)

    @property
    def server(self) -> list[bytes]:
        return [said for said, _ in self.turns]


def says(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


GREETING = says("220 mx.test ESMTP")
EHLO = says("EHLO client.test")
PLAIN = says("250 mx.test")
PIPELINED = says("250-mx.test", "250 PIPELINING")
MAIL = says("MAIL FROM:<alice@client.test>")
RCPT = says("RCPT TO:<bob@mx.test>")
DATA = says("DATA")
GROUP = MAIL + RCPT + DATA
OK = says("250 2.0.0 Ok")
GO = says("354 go")
NO = says("550 5.1.1 no")
BODY = b"Subject: hi\r\n\r\nhi\r\n.\r\n"
QUIT = says("QUIT")
SENT = ("END: 250 2.0.0 Ok",)
BOTH = (Letter(recipients=("bob@mx.test", "eve@mx.test")),)
RCPTS = RCPT + says("RCPT TO:<eve@mx.test>")

SESSIONS = [
    Case(
        "one at a time",
        [(GREETING, EHLO), (PLAIN, MAIL), (OK, RCPT), (OK, DATA), (GO, BODY), (OK, QUIT)],
        (SENT,),
        (Ready(), GoAhead(), Finished()),
    ),
    Case(
        "a group",
        [(GREETING, EHLO), (PIPELINED, GROUP), (OK + OK + GO, BODY), (OK, QUIT)],
        (SENT,),
    ),
    Case(
        "two messages in groups",
        [
            (GREETING, EHLO),
            (PIPELINED, GROUP),
            (OK + OK + GO, BODY),
            (OK, GROUP),
            (OK + OK + GO, BODY),
            (OK, QUIT),
        ],
        (SENT, SENT),
        letters=(Letter(), Letter()),
    ),
    Case(
        "what the server offers is told to it",
        [
            (GREETING, EHLO),
            (
                says("250-mx.test", "250-size 1000", "250-8bitmime", "250-X-OTHER a b", "250 HELP"),
                says("MAIL FROM:<> SIZE=19 BODY=8BITMIME"),
            ),
        ],
        letters=(Letter(sender="", body_8bit=True),),
    ),
    Case(
        "8-bit mail is not declared to a server that did not ask for it",
        [(GREETING, EHLO), (PLAIN, MAIL)],
        letters=(Letter(body_8bit=True),),
    ),
    Case(
        "HELO where EHLO is unknown",
        [
            (GREETING, EHLO),
            (says("500 what?"), says("HELO client.test")),
            (says("250-mx.test", "250 PIPELINING"), MAIL),  # no extensions without EHLO
        ],
    ),
    Case(
        "neither EHLO nor HELO",
        [(GREETING, EHLO), (NO, says("HELO client.test")), (says("554 5.7.1 go away"), QUIT)],
    ),
    Case("EHLO refused for now", [(GREETING, EHLO), (says("450 4.3.2 later"), QUIT)]),
    Case("no service", [(says("554-no", "554 never"), QUIT)]),
    Case("421 as greeting", [(says("421 4.3.2 closing"), b"")]),
    Case(
        "a greeting of many lines, with a bare code, without ESMTP",
        [(says("220-a", "220-", "220"), EHLO), (says("250"), MAIL)],
    ),
    Case(
        "bare LF as line end",
        [(b"220 mx.test\n", EHLO), (b"250-mx.test\n250 PIPELINING\n", GROUP)],
    ),
    Case(
        "STARTTLS, and EHLO again",
        [
            (GREETING, EHLO),
            (says("250-mx.test", "250-PIPELINING", "250 STARTTLS"), says("STARTTLS")),
            (says("220 go"), EHLO),
            (says("250-mx.test", "250 STARTTLS"), MAIL),  # what was offered before is forgotten
        ],
        events=(StartTls(), Ready()),
    ),
    Case(
        "HELO over TLS: nothing is left of what was offered in plain text",
        [
            (GREETING, EHLO),
            (says("250-mx.test", "250-PIPELINING", "250 STARTTLS"), says("STARTTLS")),
            (says("220 go"), EHLO),
            (says("500 what?"), says("HELO client.test")),
            (PLAIN, MAIL),
        ],
    ),
    Case(
        "STARTTLS is not said to those who do not want it",
        [(GREETING, EHLO), (says("250-mx.test", "250 STARTTLS"), MAIL)],
        starttls=False,
    ),
    Case(
        "STARTTLS refused",
        [
            (GREETING, EHLO),
            (says("250-mx.test", "250 STARTTLS"), says("STARTTLS")),
            (says("454 4.7.0 not now"), QUIT),
        ],
    ),
    Case(
        "MAIL refused, one at a time",
        [(GREETING, EHLO), (PLAIN, MAIL), (says("450 4.1.0 later"), MAIL)],
        (("MAIL: 450 4.1.0 later",) * 2,),
        letters=(*BOTH, Letter()),
    ),
    Case(
        "MAIL refused in a group",
        [(GREETING, EHLO), (PIPELINED, MAIL + RCPTS + DATA), (NO * 4, QUIT)],
        (("MAIL: 550 5.1.1 no",) * 2,),
        letters=BOTH,
    ),
    Case(
        "MAIL refused in a group by a server that takes recipients nevertheless",
        [
            (GREETING, EHLO),
            (PIPELINED, GROUP),
            (NO + OK + GO, b".\r\n"),
            (says("250 2.0.0 taken"), QUIT),
        ],
        (("MAIL: 550 5.1.1 no",),),
    ),
    Case(
        "one recipient refused",
        [
            (GREETING, EHLO),
            (PIPELINED, MAIL + RCPTS + DATA),
            (OK + NO + OK + GO, BODY),
            (OK, QUIT),
        ],
        (("RCPT: 550 5.1.1 no", "END: 250 2.0.0 Ok"),),
        letters=BOTH,
    ),
    Case(
        "all recipients refused, one at a time: no DATA, then RSET and the next message",
        [
            (GREETING, EHLO),
            (PLAIN, MAIL),
            (OK, RCPT),
            (NO, says("RSET")),
            (OK, MAIL),
        ],
        (("RCPT: 550 5.1.1 no",),),
        letters=(Letter(), Letter()),
    ),
    Case(
        "all recipients refused in a group: RSET and the next message are one group",
        [
            (GREETING, EHLO),
            (PIPELINED, GROUP),
            (OK + NO + says("554 no valid recipients"), says("RSET") + GROUP),
            (OK + OK + OK + GO, BODY),
            (OK, QUIT),
        ],
        (("RCPT: 550 5.1.1 no",), SENT),
        letters=(Letter(), Letter()),
    ),
    Case(
        "all recipients refused and 354: a lone dot, its answer ignored, and no RSET",
        [
            (GREETING, EHLO),
            (PIPELINED, GROUP),
            (OK + NO + GO, b".\r\n"),
            (says("554 5.5.1 no recipients"), GROUP),
        ],
        (("RCPT: 550 5.1.1 no",),),
        letters=(Letter(), Letter()),
    ),
    Case(
        "DATA refused",
        [
            (GREETING, EHLO),
            (PIPELINED, MAIL + RCPTS + DATA),
            (OK + NO + OK + says("451 4.3.0 not now"), says("RSET") + QUIT),
        ],
        (("RCPT: 550 5.1.1 no", "DATA: 451 4.3.0 not now"),),
        letters=BOTH,
    ),
    Case(
        "the content refused: nothing to reset",
        [(GREETING, EHLO), (PIPELINED, GROUP), (OK + OK + GO, BODY), (NO, GROUP)],
        (("END: 550 5.1.1 no",),),
        letters=(Letter(), Letter()),
    ),
    Case(
        "421 to MAIL",
        [(GREETING, EHLO), (PIPELINED, GROUP), (says("421 4.4.2 bye"), b"")],
        (("MAIL: 421 4.4.2 bye",),),
    ),
    Case(
        "421 to the second recipient is the answer to the first, too",
        [
            (GREETING, EHLO),
            (PIPELINED, MAIL + RCPTS + DATA),
            (OK + OK + says("421 4.7.0 too many"), b""),
        ],
        (("RCPT: 421 4.7.0 too many",) * 2,),
        letters=BOTH,
    ),
    Case(
        "421 to DATA leaves a refused recipient refused",
        [
            (GREETING, EHLO),
            (PIPELINED, MAIL + RCPTS + DATA),
            (OK + NO + OK + says("421 4.3.2 bye"), b""),
        ],
        (("RCPT: 550 5.1.1 no", "DATA: 421 4.3.2 bye"),),
        letters=BOTH,
    ),
    Case(
        "421 to the content",
        [(GREETING, EHLO), (PIPELINED, GROUP), (OK + OK + GO, BODY), (says("421 no"), b"")],
        (("END: 421 no",),),
    ),
    Case(
        "250 to DATA makes no sense",
        [(GREETING, EHLO), (PLAIN, MAIL), (OK, RCPT), (OK, DATA), (OK, b"")],
    ),
    Case("354 to MAIL makes no sense", [(GREETING, EHLO), (PLAIN, MAIL), (GO, b"")]),
    Case(
        "354 to the content makes no sense",
        [(GREETING, EHLO), (PIPELINED, GROUP), (OK + OK + GO, BODY), (GO, b"")],
    ),
    Case(
        "a reply that nobody asked for",
        [(GREETING, EHLO), (PIPELINED, GROUP), (OK + OK + GO, BODY), (OK + OK, b"")],
        (SENT,),
    ),
    Case("no reply at all", [(b"SSH-2.0-OpenSSH_9.2\r\n", b"")]),
    Case(
        "the code changes within a reply",
        [(GREETING, EHLO), (says("250-mx.test", "251 SIZE"), b"")],
    ),
    Case("NUL in a reply", [(b"220 mx.te\0st\r\n", b"")]),
    Case("code 199", [(says("199 x"), b"")]),
    Case("code 600", [(says("600 x"), b"")]),
    Case("no space behind the code", [(says("220mx.test"), b"")]),
    Case("an endless line", [(b"220 " + b"x" * 5000, b"")]),
    Case("a reply of endless lines", [(says("220-x") * 5000, b"")]),
    Case("a reply of long lines", [(says("220-" + "x" * 1000) * 100, b"")]),
]

LHLO = says("LHLO client.test")
LMTP_SESSIONS = [
    Case(
        "an answer for each accepted recipient, in their order",
        [
            (GREETING, LHLO),
            (PIPELINED, MAIL + RCPTS + says("RCPT TO:<joe@mx.test>") + DATA),
            (OK + OK + NO + OK + GO, BODY),
            (says("452 4.2.2 full"), b""),
            (OK, QUIT),
        ],
        (("END: 452 4.2.2 full", "RCPT: 550 5.1.1 no", "END: 250 2.0.0 Ok"),),
        letters=(Letter(recipients=("bob@mx.test", "eve@mx.test", "joe@mx.test")),),
        lmtp=True,
    ),
    Case("LHLO has no older form", [(GREETING, LHLO), (says("500 what?"), QUIT)], lmtp=True),
    Case(
        "421 between the answers",
        [
            (GREETING, LHLO),
            (PIPELINED, MAIL + RCPTS + DATA),
            (OK + OK + OK + GO, BODY),
            (OK + says("421 4.3.2 bye"), b""),
        ],
        (("END: 250 2.0.0 Ok", "END: 421 4.3.2 bye"),),
        letters=BOTH,
        lmtp=True,
    ),
    Case(
        "354 without an accepted recipient ends the session: nobody knows what follows a dot",
        [(GREETING, LHLO), (PIPELINED, GROUP), (OK + NO + GO, b"")],
        (("RCPT: 550 5.1.1 no",),),
        lmtp=True,
    ),
]
CASES = SESSIONS + LMTP_SESSIONS


def last_words(record: Record) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(f"{answer.stage.name}: {answer.reply}" if answer else "" for answer in answers)
        for answers in record.answers
    )


@pytest.mark.parametrize("case", CASES, ids=str)
class TestDialogue:
    def test_whole(self, case: Case) -> None:
        record = play(case.engine(), case.server, case.letters, whole)
        assert record.sent == [heard for _, heard in case.turns]
        assert last_words(record) == case.answers
        if case.events is not None:
            assert tuple(record.events) == case.events

    def test_octet_by_octet(self, case: Case) -> None:
        once = play(case.engine(), case.server, case.letters, whole)
        pieces = play(case.engine(), case.server, case.letters, bytewise)
        assert (pieces.sent, pieces.events, pieces.answers) == (
            once.sent,
            once.events,
            once.answers,
        )

    def test_with_the_beginning_of_something_more(self, case: Case) -> None:
        *turns, last = case.server
        once = play(case.engine(), case.server, case.letters, whole)
        more = play(case.engine(), [*turns, last + b"250-x\r\n25"], case.letters, whole)
        assert (more.sent, more.events, more.answers) == (once.sent, once.events, once.answers)


@given(st.sampled_from(CASES), st.integers(1, 200))
def test_any_division_of_the_octets_means_the_same(case: Case, size: int) -> None:
    def cut(turn: bytes) -> list[bytes]:
        return [turn[i : i + size] for i in range(0, len(turn), size)]

    once = play(case.engine(), case.server, case.letters, whole)
    pieces = play(case.engine(), case.server, case.letters, cut)
    assert (pieces.sent, pieces.events, pieces.answers) == (once.sent, once.events, once.answers)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_content_that_is_at_hand_goes_out_by_itself(case: Case) -> None:
    asked = play(case.engine(), case.server, case.letters)
    at_hand = play(case.engine(), case.server, case.letters, at_hand=True)
    assert at_hand.sent == asked.sent
    assert at_hand.events == [event for event in asked.events if event != GoAhead()]
    assert at_hand.answers == asked.answers


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("no service", Refused, "GREETING: 554 no never"),
        ("421 as greeting", Refused, "GREETING: 421 4.3.2 closing"),
        ("neither EHLO nor HELO", Refused, "HELO: 554 5.7.1 go away"),
        ("EHLO refused for now", Refused, "EHLO: 450 4.3.2 later"),
        ("LHLO has no older form", Refused, "LHLO: 500 what?"),
        ("STARTTLS refused", Refused, "STARTTLS: 454 4.7.0 not now"),
        ("250 to DATA makes no sense", Broken, "DATA: unexpected reply '250 2.0.0 Ok'"),
        ("354 to MAIL makes no sense", Broken, "MAIL: unexpected reply '354 go'"),
        ("354 to the content makes no sense", Broken, "END: unexpected reply '354 go'"),
        ("a reply that nobody asked for", Broken, "IDLE: unexpected reply '250 2.0.0 Ok'"),
        ("no reply at all", Broken, "GREETING: expected a reply code, got 'SSH-2.0-OpenSSH_9.2'"),
        (
            "the code changes within a reply",
            Broken,
            "EHLO: the code changes from 250 within a reply",
        ),
        ("NUL in a reply", Broken, "GREETING: NUL in a reply"),
        ("an endless line", Broken, "GREETING: a line of more than 2048 octets"),
        ("a reply of endless lines", Broken, "GREETING: a reply of more than 128 lines"),
        ("a reply of long lines", Broken, "GREETING: a reply of more than 32768 octets"),
    ],
)
def test_how_a_session_ends(name: str, kind: type[ClientEvent], text: str) -> None:
    (case,) = [case for case in CASES if case.name == name]
    record = play(case.engine(), case.server, case.letters)
    event = record.events[-1]
    assert isinstance(event, kind)
    assert isinstance(event, Refused | Broken)
    detail = event.reply if isinstance(event, Refused) else event.fault
    assert f"{event.stage.name}: {detail}" == text
    assert record.closed


class TestPlainTextAndTls:
    """RFC 3207, 6: commands and replies that were injected in plain text are not obeyed later."""

    def opened(self) -> ClientEngine:
        engine = ClientEngine("client.test", starttls=True)
        engine.receive(GREETING + says("250-mx.test", "250 STARTTLS"))
        return engine

    @pytest.mark.parametrize("behind", [OK, b"2", b"\r\n", b"\x16\x03"])
    def test_what_comes_behind_the_answer_to_starttls(self, behind: bytes) -> None:
        engine = self.opened()
        engine.receive(says("220 go") + behind)
        # No handshake is begun, so that nothing of it can be read under TLS.
        assert isinstance(engine.next_event(), Broken)
        assert engine.next_event() is None
        assert engine.closed

    def test_what_comes_before_the_handshake(self) -> None:
        engine = self.opened()
        engine.receive(says("220 go"))
        assert engine.next_event() == StartTls()
        engine.receive(b"2")
        assert isinstance(engine.next_event(), Broken)
        with pytest.raises(RuntimeError, match="expected a session that is tls, not closed"):
            engine.tls_started()


class TestGivingUp:
    """A server that answers in the middle of the content will not take the rest."""

    def in_content(self) -> ClientEngine:
        engine = ClientEngine("client.test")
        engine.receive(GREETING + PIPELINED)
        engine.begin("", ["bob@mx.test", "eve@mx.test"], 9, body_8bit=False)
        engine.receive(OK + NO + OK + GO)
        engine.data_to_send()
        engine.content(b"..")
        assert engine.data_to_send() == b"...\r\n"[:3]
        return engine

    @pytest.mark.parametrize("code", [421, 451, 552])
    def test_its_answer_is_the_last_word(self, code: int) -> None:
        engine = self.in_content()
        engine.receive(f"{code} enough\r\n".encode())
        engine.content(b"more")
        engine.end_content()
        assert engine.data_to_send() == b""
        assert engine.closed
        words = [f"{answer.stage.name}: {answer.reply}" for answer in engine.answers if answer]
        assert words == ["RCPT: 550 5.1.1 no", f"CONTENT: {code} enough"]

    @pytest.mark.parametrize("behind", [OK, says("552 enough")])
    def test_what_comes_with_the_354_is_no_answer_to_content_at_hand(self, behind: bytes) -> None:
        engine = ClientEngine("client.test")
        engine.receive(GREETING + PIPELINED)
        engine.data_to_send()
        engine.begin("", ["bob@mx.test"], 4, body_8bit=False, content=b"hi\r\n")
        assert engine.data_to_send().endswith(DATA)
        engine.receive(OK + OK + GO + behind)
        assert b"hi" not in engine.data_to_send()
        assert engine.closed
        words = [f"{answer.stage.name}: {answer.reply}" for answer in engine.answers if answer]
        assert words == ([] if behind == OK else ["CONTENT: 552 enough"])

    def test_success_before_the_end_is_none(self) -> None:
        engine = self.in_content()
        engine.receive(OK)
        assert engine.answers[1] is None
        assert engine.closed


@pytest.mark.parametrize("address", ["a\r\nRSET\r\n@x.test", "a\n@x.test", "\u00fc@x.test", "a\0"])
def test_no_address_becomes_a_command(address: str) -> None:
    engine = ClientEngine("client.test")
    engine.receive(GREETING + PIPELINED)
    engine.data_to_send()
    for sender, recipient in ((address, "bob@mx.test"), ("", address)):
        with pytest.raises(ValueError, match="not an address for SMTP"):
            engine.begin(sender, [recipient], 1, body_8bit=False)
    assert engine.data_to_send() == b""
    assert engine.ready
