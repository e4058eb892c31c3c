"""SMTP smuggling: nothing but CRLF.CRLF may end a message, or a second one could hide in it.

https://sec-consult.com/blog/detail/smtp-smuggling-spoofing-e-mails-worldwide/ shows what follows
when two servers do not agree on the end of a message.
"""

import pytest
from support.smtp_server import converse

ENVELOPE = b"EHLO client.test\r\nMAIL FROM:<alice@client.test>\r\nRCPT TO:<bob@mx.test>\r\nDATA\r\n"
SMUGGLED = b"MAIL FROM:<boss@mx.test>\r\nRCPT TO:<bob@mx.test>\r\nDATA\r\nevil\r\n.\r\n"
REFUSED = "550 5.6.0 Error: bare <CR> or bare <LF> in message content"

FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\n.\r",
    b"\r.\r",
    b"\r.\r\n",
    b"\r.\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\r\n",
    b"\r\n\n.\r\n",
    b"\r\n.\n\r\n",
    b"\n\r.\r\n",
    b"\r\n\r.\r\n",
    b"\r\n.\r\0\n",
    b"\r\n\0.\r\n",
    b"\n\r\n.\n",
]


@pytest.mark.parametrize("piece", [1, 2, 3, 10_000])
@pytest.mark.parametrize("end", FALSE_ENDS, ids=repr)
def test_a_false_end_ends_nothing(end: bytes, piece: int) -> None:
    wire = ENVELOPE + b"first" + end + SMUGGLED
    session = converse(wire[i : i + piece] for i in range(0, len(wire), piece))
    verdicts = session.replies[4:]
    assert len(verdicts) == 1, "one DATA, one end, one verdict"
    if b"\0" in end and b"\r\0" not in end:
        assert session.messages == [b"first" + end + SMUGGLED[:-3]]
    else:
        assert verdicts == [REFUSED]
        assert session.messages == []


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (b"line\r\nline\r\n", False),
        (b"line\nline\r\n", True),
        (b"line\rline\r\n", True),
        (b"\nline\r\n", True),
        (b"\rline\r\n", True),
        (b"line\r\r\n", True),
        (b"line\n\r\n", True),
        (b"line\n\r\nline\r\n", True),
    ],
)
def test_bare_cr_and_lf_refuse_the_message_after_its_end(content: bytes, refused: bool) -> None:
    session = converse([ENVELOPE, content, b".\r\nNOOP\r\n"])
    verdict, after = session.replies[4:]
    assert (verdict == REFUSED) is refused
    assert after == "250 2.0.0 Ok"


def test_a_bare_lf_ends_no_command_of_a_transaction() -> None:
    session = converse([b"EHLO client.test\r\nMAIL FROM:<>\nRCPT TO:<bob@mx.test>\nDATA\n"])
    assert len(session.replies) == 1
    assert len(session.events) == 1
