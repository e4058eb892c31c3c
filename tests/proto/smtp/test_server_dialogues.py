"""SMTP dialogues: what the client says, and every reply that it gets.

Each is run whole, octet by octet, and cut at random places: the result must be the same.
"""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp_server import LIMITS, converse

from mta.proto.smtp.events import Content, Event, Hello, Mail, Rcpt, Rejected, Reset
from mta.proto.smtp.server import ServerEngine
from mta.proto.status import Status


@dataclass(frozen=True)
class Case:
    name: str
    client: bytes
    replies: list[str]
    events: tuple[Event, ...] = ()  # some that must be among those seen, in this order

    def __str__(self) -> str:
        return self.name


EHLO = b"EHLO client.test\r\n"
MAIL = b"MAIL FROM:<alice@client.test>\r\n"
RCPT = b"RCPT TO:<bob@mx.test>\r\n"
HELLO = "250-mx.test\n250-PIPELINING\n250-SIZE 20000\n250-ENHANCEDSTATUSCODES\n250 8BITMIME"
SENDER = "250 2.1.0 Ok"
RECIPIENT = "250 2.1.5 Ok"
OK = "250 2.0.0 Ok"
START = "354 End data with <CR><LF>.<CR><LF>"
BYE = "221 2.0.0 Bye"
NO_HELLO = "503 5.5.1 Error: send HELO/EHLO first"
NO_MAIL = "503 5.5.1 Error: need MAIL command"
BAD_LINE = "500 5.5.2 Error: bare <CR>, bare <LF> or NUL in command line"
TOO_LONG = "500 5.5.2 Error: command line too long"
UNKNOWN = "500 5.5.2 Error: command not recognized"
BAD_SENDER = "501 5.1.7 Bad sender address syntax"
TOO_BIG = "552 5.3.4 Error: message size exceeds fixed limit"
BARE = "550 5.6.0 Error: bare <CR> or bare <LF> in message content"


def sent(line: bytes, reply: str, *events: Event) -> Case:
    """A case of one command after EHLO."""
    return Case(repr(line[:60]), EHLO + line + b"\r\n", [HELLO, reply], events)


def mail(line: bytes, reply: str, *events: Event) -> Case:
    return sent(b"MAIL " + line, reply, *events)


def rcpt(line: bytes, reply: str, *events: Event) -> Case:
    client = EHLO + MAIL + b"RCPT " + line + b"\r\n"
    return Case(repr(b"RCPT " + line), client, [HELLO, SENDER, reply], events)


SESSIONS = [
    Case(
        "one message, one group",
        EHLO + MAIL + RCPT + b"DATA\r\nSubject: hi\r\n\r\n..dots\r\n.\r\nQUIT\r\n",
        [HELLO, SENDER, RECIPIENT, START, "250 2.0.0 Ok: queued as 1", BYE],
        (
            Hello("client.test", True),
            Mail("alice@client.test"),
            Rcpt("bob@mx.test", "bob@mx.test"),
            Content(b"Subject: hi\r\n\r\n.dots\r\n", True),
        ),
    ),
    Case(
        "two messages",
        EHLO + (MAIL + RCPT + b"DATA\r\nx\r\n.\r\n") * 2 + b"QUIT\r\n",
        [
            HELLO,
            *(SENDER, RECIPIENT, START, "250 2.0.0 Ok: queued as 1"),
            *(SENDER, RECIPIENT, START, "250 2.0.0 Ok: queued as 2"),
            BYE,
        ],
    ),
    Case(
        "HELO has no extensions to announce",
        b"HELO client.test\r\nQUIT\r\n",
        ["250 mx.test", BYE],
        (Hello("client.test", False),),
    ),
    Case("verbs in any case", b"ehlo client.test\r\nnoop\r\nQuit\r\n", [HELLO, OK, BYE]),
    Case("MAIL before EHLO", MAIL + RCPT + b"DATA\r\n", [NO_HELLO] * 3),
    Case("RCPT and DATA before MAIL", EHLO + RCPT + b"DATA\r\n", [HELLO, NO_MAIL, NO_MAIL]),
    Case(
        "MAIL within MAIL",
        EHLO + MAIL + MAIL + RCPT + MAIL,
        [
            *(HELLO, SENDER, "503 5.5.1 Error: nested MAIL command"),
            *(RECIPIENT, "503 5.5.1 Error: nested MAIL command"),
        ],
    ),
    Case(
        "DATA without an accepted recipient",
        EHLO + MAIL + b"RCPT TO:<stranger@elsewhere.test>\r\nDATA\r\n",
        [HELLO, SENDER, "554 5.7.1 Relay access denied", "554 5.5.1 Error: no valid recipients"],
    ),
    Case(
        "a refused MAIL begins nothing",
        EHLO + b"MAIL FROM:<later@client.test>\r\n" + RCPT,
        [HELLO, "451 4.3.0 Try again later", NO_MAIL],
    ),
    Case(
        "a refused message ends its transaction only",
        EHLO + MAIL + RCPT + b"DATA\r\nX-Refuse: yes\r\n.\r\n" + MAIL,
        [HELLO, SENDER, RECIPIENT, START, "554 5.7.1 Message refused", SENDER],
    ),
    Case(
        "RSET ends the transaction",
        EHLO + MAIL + RCPT + b"RSET\r\nDATA\r\n",
        [HELLO, SENDER, RECIPIENT, OK, NO_MAIL],
        (Reset(),),
    ),
    Case(
        "EHLO ends the transaction too",
        EHLO + MAIL + RCPT + EHLO + b"DATA\r\n",
        [HELLO, SENDER, RECIPIENT, HELLO, NO_MAIL],
    ),
    Case(
        "surplus recipients are temporary and count as no errors",
        EHLO + MAIL + RCPT * 10 + b"DATA\r\nx\r\n.\r\n",
        [
            *(HELLO, SENDER, *([RECIPIENT] * 3), *(["452 4.5.3 Error: too many recipients"] * 7)),
            *(START, "250 2.0.0 Ok: queued as 1"),
        ],
    ),
    Case(
        "too many errors",
        EHLO + b"FOO\r\n" * 9,
        [
            HELLO,
            *([UNKNOWN] * 5),
            "421 4.7.0 Error: too many errors",
        ],
    ),
    Case(
        "refused recipients are errors as well",
        EHLO + MAIL + b"RCPT TO:<stranger@elsewhere.test>\r\n" * 9,
        [
            *(HELLO, SENDER, *(["554 5.7.1 Relay access denied"] * 5)),
            "421 4.7.0 Error: too many errors",
        ],
    ),
    Case(
        "an accepted message forgives errors",
        EHLO + b"FOO\r\n" * 4 + MAIL + RCPT + b"DATA\r\nx\r\n.\r\n" + b"FOO\r\n" * 4 + b"NOOP\r\n",
        [
            *(HELLO, *([UNKNOWN] * 4)),
            *(SENDER, RECIPIENT, START, "250 2.0.0 Ok: queued as 1"),
            *(*([UNKNOWN] * 4), OK),
        ],
    ),
    Case("nothing is processed after QUIT", b"QUIT\r\nNOOP\r\n" + EHLO, [BYE]),
    Case(
        "an empty message",
        EHLO + MAIL + RCPT + b"DATA\r\n.\r\nNOOP\r\n",
        [HELLO, SENDER, RECIPIENT, START, "250 2.0.0 Ok: queued as 1", OK],
        (Content(b"", True),),
    ),
    Case(
        "content that looks like commands",
        EHLO + MAIL + RCPT + b"DATA\r\nQUIT\r\n.QUIT\r\n.\r\nNOOP\r\n",
        [HELLO, SENDER, RECIPIENT, START, "250 2.0.0 Ok: queued as 1", OK],
        (Content(b"QUIT\r\nQUIT\r\n", True),),
    ),
    Case(
        "content of exactly the size limit",
        EHLO + MAIL + RCPT + b"DATA\r\n" + b"..34567\r\n" * 2500 + b".\r\n",
        [HELLO, SENDER, RECIPIENT, START, "250 2.0.0 Ok: queued as 1"],
    ),
    Case(
        "content one octet over the size limit",
        EHLO + MAIL + RCPT + b"DATA\r\nx" + b"123456\r\n" * 2500 + b".\r\nNOOP\r\n",
        [HELLO, SENDER, RECIPIENT, START, TOO_BIG, OK],
        (Reset(), Rejected("DATA", Status(552, "5.3.4", TOO_BIG[10:]))),
    ),
    Case(
        "content lines of exactly the limit",
        EHLO + MAIL + RCPT + b"DATA\r\n" + (b"x" * 998 + b"\r\n") * 3 + b".\r\n",
        [HELLO, SENDER, RECIPIENT, START, "250 2.0.0 Ok: queued as 1"],
    ),
    Case(
        "a content line one octet over the limit",
        EHLO + MAIL + RCPT + b"DATA\r\na\r\n" + b"x" * 999 + b"\r\nb\r\n.\r\nNOOP\r\n",
        [
            *(HELLO, SENDER, RECIPIENT, START),
            *("550 5.6.0 Error: line too long in message content", OK),
        ],
    ),
    Case(
        "a content line without an end for long",
        EHLO + MAIL + RCPT + b"DATA\r\n" + b"x" * 5000 + b"\r\n.\r\nNOOP\r\n",
        [
            *(HELLO, SENDER, RECIPIENT, START),
            *("550 5.6.0 Error: line too long in message content", OK),
        ],
    ),
    Case("a command line of exactly the limit", b"NOOP " + b"x" * 505 + b"\r\n", [OK]),
    Case(
        "a command line one octet over the limit",
        b"NOOP " + b"x" * 506 + b"\r\nNOOP\r\n",
        [TOO_LONG, OK],
    ),
    Case("an endless command line", b"x" * 5000 + b"\r" * 600 + b"\r\nNOOP\r\n", [TOO_LONG, OK]),
    Case("a bare LF ends no command", b"NOOP\nNOOP\r\nNOOP\r\n", [BAD_LINE, OK]),
    Case("a bare CR ends no command", b"NOOP\rNOOP\r\nNOOP\r\n", [BAD_LINE, OK]),
    Case("CR CR LF", b"NOOP\r\r\nNOOP\r\n", [BAD_LINE, OK]),
    Case("LF CR LF", b"NOOP\n\r\nNOOP\r\n", [BAD_LINE, OK]),
    Case("NUL", b"NOOP \0\r\nNOOP\r\n", [BAD_LINE, OK]),
    Case("an empty line", b"\r\nNOOP\r\n", [UNKNOWN, OK]),
    Case("an incomplete command has no reply", b"NOOP\r\nNOO", [OK]),
    Case(
        "octets beyond ASCII",
        b"N\xc3\x96\xc3\x96P\r\n",
        [UNKNOWN],
    ),
]

NULL_SENDER = Mail("")
COMMANDS = [
    sent(b"EHLO", "501 Syntax: EHLO hostname"),
    sent(b"HELO", "501 Syntax: HELO hostname"),
    sent(b"EHLO two words", "501 Syntax: EHLO hostname"),
    sent(b"EHLO -x.test", "501 Syntax: EHLO hostname"),
    sent(b"EHLO a..b", "501 Syntax: EHLO hostname"),
    sent(b"EHLO " + b"a." * 130 + b"a", "501 Syntax: EHLO hostname"),
    sent(b"EHLO f\xc3\xbcr.test", "501 Syntax: EHLO hostname"),
    sent(b"EHLO [127.0.0.1", "501 Syntax: EHLO hostname"),
    sent(b"EHLO [127.0.0.1]", HELLO, Hello("[127.0.0.1]", True)),
    sent(b"EHLO [IPv6:::1]", HELLO, Hello("[IPv6:::1]", True)),
    sent(b"EHLO MY_PC", HELLO, Hello("MY_PC", True)),
    sent(b"EHLO client.test  \t", HELLO, Hello("client.test", True)),
    sent(b"NOOP", OK),
    sent(b"NOOP anything at all", OK),
    sent(b"VRFY bob", "252 2.1.5 Cannot VRFY user, but will take mail for it"),
    sent(b"VRFY", "501 5.5.4 Syntax: VRFY address"),
    sent(b"HELP", "214 2.0.0 Commands: HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"),
    sent(b"RSET now", "501 5.5.4 Syntax: RSET"),
    sent(b"QUIT now", "501 5.5.4 Syntax: QUIT"),
    sent(b"EXPN list", "502 5.5.1 Error: command not implemented"),
    sent(b"STARTTLS", "502 5.5.1 Error: command not implemented"),
    sent(b"NOOPX", UNKNOWN),
    sent(b" NOOP", UNKNOWN),
    mail(b"FROM:<>", SENDER, NULL_SENDER),
    mail(b"from:<alice@client.test>", SENDER, Mail("alice@client.test")),
    mail(b"FROM: <alice@client.test>", SENDER, Mail("alice@client.test")),
    mail(b"FROM:<alice@client.test> ", SENDER, Mail("alice@client.test")),
    mail(b"FROM:<alice@CLIENT.Test>", SENDER, Mail("alice@client.test")),
    mail(b"FROM:<@a.test,@b.test:alice@client.test>", SENDER, Mail("alice@client.test")),
    mail(b'FROM:<"a > b"@client.test>', SENDER, Mail('"a > b"@client.test')),
    mail(b"FROM:<alice@[192.0.2.1]>", SENDER, Mail("alice@[192.0.2.1]")),
    mail(b"FROM:alice@client.test", "501 5.5.4 Syntax: MAIL FROM:<address>"),
    mail(b"FROM:<alice@client.test", BAD_SENDER),
    mail(b"FROM <alice@client.test>", "501 5.5.4 Syntax: MAIL FROM:<address>"),
    mail(b"TO:<alice@client.test>", "501 5.5.4 Syntax: MAIL FROM:<address>"),
    mail(b"FROM:<alice@client.test>SIZE=1", "501 5.5.4 Syntax: <address> KEYWORD=value"),
    mail(b"FROM:<alice>", BAD_SENDER),
    mail(b"FROM:<postmaster>", "501 5.1.7 Sender address needs a domain"),
    mail(b"FROM:<" + b"a" * 60 + b"@" + b"b." * 100 + b"test>", BAD_SENDER),
    mail(b"FROM:<alice@client.test> <bob@client.test>", "501 5.5.4 Syntax: KEYWORD=value"),
    mail(b"FROM:<al ice@client.test>", BAD_SENDER),
    mail(b"FROM:<a@b@client.test>", BAD_SENDER),
    mail(b"FROM:<alice@-client.test>", BAD_SENDER),
    mail(b"FROM:<alice@client.test> SIZE=20000", SENDER, Mail("alice@client.test", 20_000)),
    mail(b"FROM:<alice@client.test> SIZE=20001", TOO_BIG),
    mail(b"FROM:<alice@client.test> SIZE=99999999999999999999", TOO_BIG),
    mail(b"FROM:<alice@client.test> SIZE=999999999999999999999", "501 5.5.4 Syntax: SIZE=octets"),
    mail(b"FROM:<alice@client.test> SIZE", "501 5.5.4 Syntax: SIZE=octets"),
    mail(b"FROM:<alice@client.test> SIZE=-1", "501 5.5.4 Syntax: SIZE=octets"),
    mail(b"FROM:<alice@client.test> SIZE=1 SIZE=2", "501 5.5.4 Option given twice: SIZE"),
    mail(
        b"FROM:<alice@client.test> body=8bitmime size=7",
        SENDER,
        Mail("alice@client.test", 7, True),
    ),
    mail(b"FROM:<alice@client.test> BODY=7BIT", SENDER, Mail("alice@client.test")),
    mail(
        b"FROM:<alice@client.test> BODY=BINARYMIME",
        "501 5.5.4 Syntax: BODY=7BIT or BODY=8BITMIME",
    ),
    mail(b"FROM:<alice@client.test> AUTH=<>", "555 5.5.4 Unsupported option: AUTH"),
    mail(b"FROM:<alice@client.test> =1", "501 5.5.4 Syntax: KEYWORD=value"),
    mail(b"FROM:<alice@client.test> SIZE==", "501 5.5.4 Syntax: KEYWORD=value"),
    rcpt(b"TO:<bob@mx.test>", RECIPIENT, Rcpt("bob@mx.test", "bob@mx.test")),
    rcpt(b"TO:<Bob@MX.Test>", RECIPIENT, Rcpt("Bob@mx.test", "Bob@MX.Test")),
    rcpt(b"TO:<Postmaster>", RECIPIENT, Rcpt("Postmaster", "Postmaster")),
    rcpt(b"TO:<>", "501 5.1.3 Recipient address must not be null"),
    rcpt(b"TO:bob@mx.test", "501 5.5.4 Syntax: RCPT TO:<address>"),
    rcpt(b"TO:<b\xc3\xb6b@mx.test>", "501 5.1.3 Bad recipient address syntax"),
    rcpt(b"TO:<bob>", "501 5.1.3 Bad recipient address syntax"),
    rcpt(b"TO:<@a.test:bob@mx.test>", RECIPIENT, Rcpt("bob@mx.test", "@a.test:bob@mx.test")),
    rcpt(b"TO:<bob@mx.test> NOTIFY=NEVER", "555 5.5.4 Unsupported option: NOTIFY"),
]


@pytest.mark.parametrize("case", SESSIONS + COMMANDS, ids=str)
class TestDialogue:
    def test_whole(self, case: Case) -> None:
        session = converse([case.client])
        assert session.replies == case.replies
        assert session.writes == 1
        remaining = iter(session.events)
        for event in case.events:
            assert event in remaining, f"{event} is missing in {session.events}"

    def test_octet_by_octet(self, case: Case) -> None:
        whole = converse([case.client])
        pieces = converse(case.client[i : i + 1] for i in range(len(case.client)))
        assert pieces.output == whole.output
        assert pieces.events == whole.events


@given(st.data())
def test_any_division_of_the_octets_means_the_same(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(SESSIONS + COMMANDS))
    places = data.draw(st.lists(st.integers(0, len(case.client)), max_size=8).map(sorted))
    pieces = converse(
        case.client[start:end] for start, end in zip([0, *places], [*places, None], strict=True)
    )
    whole = converse([case.client])
    assert pieces.output == whole.output
    assert pieces.events == whole.events


def test_under_soft_bounce_no_refusal_is_final() -> None:
    engine = ServerEngine("mx.test", LIMITS, soft_bounce=True)
    engine.receive(
        b"MAIL FROM:<a@b.test>\r\nWHAT\r\nHELO\r\nEHLO c.test\r\nMAIL FROM:<a@b.test>\r\n"
    )
    while isinstance(event := engine.next_event(), Rejected | Hello):
        pass
    assert isinstance(event, Mail)
    engine.reply(Status(550, "5.7.1", "not you"))
    codes = [line[:3] for line in engine.data_to_send().split(b"\r\n") if line[3:4] == b" "]
    assert codes == [b"403", b"400", b"401", b"250", b"450"]
