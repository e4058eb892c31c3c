import email.utils
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.proto.envelope import Origin, Recipient
from mta.proto.headers import HeaderScanner, format_date, message_id, received_field

QUEUE_ID = "0bnZCRzhWN1zf8nQsm6vmV"

# message: header section, separator, what follows
SECTIONS = {
    b"": (b"", b"", b""),
    b"\r\n": (b"\r\n", b"", b""),
    b"\r\nbody\r\n": (b"\r\n", b"", b"body\r\n"),
    b"A: b\r\n": (b"A: b\r\n", b"", b""),
    b"A: b": (b"A: b", b"", b""),
    b"A: b\r\n\r\n": (b"A: b\r\n\r\n", b"", b""),
    b"A: b\r\n\r\nC: d\r\n": (b"A: b\r\n\r\n", b"", b"C: d\r\n"),
    b"A: b\r\n c\r\n\td\r\n\r\nbody": (b"A: b\r\n c\r\n\td\r\n\r\n", b"", b"body"),
    b"A : b\r\n\r\nbody": (b"A : b\r\n\r\n", b"", b"body"),
    b"A:\r\n \r\n\r\nbody": (b"A:\r\n \r\n\r\n", b"", b"body"),
    b"body\r\n": (b"", b"\r\n", b"body\r\n"),
    b"body": (b"", b"\r\n", b"body"),
    b"A: b\r\nbody: \x80\r\nno field\r\nC: d\r\n": (
        b"A: b\r\nbody: \x80\r\n",
        b"\r\n",
        b"no field\r\nC: d\r\n",
    ),
    b" A: b\r\n\r\n": (b"", b"\r\n", b" A: b\r\n\r\n"),  # it must not go on with our own field
    b"From me@x Mon Jan  1 00:00:00 2024\r\nA: b\r\n\r\n": (
        b"",
        b"\r\n",
        b"From me@x Mon Jan  1 00:00:00 2024\r\nA: b\r\n\r\n",
    ),
    b": b\r\n": (b"", b"\r\n", b": b\r\n"),
    b"\xc3\xa4: b\r\n": (b"", b"\r\n", b"\xc3\xa4: b\r\n"),
    b"A: b\nC: d\r\n\n\r\nbody": (b"A: b\nC: d\r\n", b"\r\n", b"\n\r\nbody"),  # a bare LF is text
    b"A: b\r\r\n\r\nbody": (b"A: b\r\r\n\r\n", b"", b"body"),
    b"A: b\r\n\r": (b"A: b\r\n", b"\r\n", b"\r"),
}


def scan(pieces: list[bytes]) -> tuple[HeaderScanner, bytes]:
    """The scanner at its end, and the content that it did not have to look at."""
    scanner = HeaderScanner()
    for number, piece in enumerate(pieces):
        if scanner.feed(piece):
            return scanner, b"".join(pieces[number + 1 :])
    scanner.end()
    return scanner, b""


@pytest.mark.parametrize("message", SECTIONS, ids=repr)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_where_the_section_ends(message: bytes, size: int) -> None:
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    scanner, later = scan(pieces)
    assert (scanner.section, scanner.separator, scanner.rest + later) == SECTIONS[message]


LINES = st.sampled_from([b"A: b", b" c", b"\t", b"", b"body", b"Received: x", b"\r", b"x\ny", b":"])


@given(st.lists(LINES, max_size=10), st.binary(max_size=10), st.integers(1, 40))
def test_no_octet_is_lost_and_pieces_do_not_matter(
    lines: list[bytes], tail: bytes, size: int
) -> None:
    message = b"\r\n".join(lines) + tail
    whole, _ = scan([message])
    assert whole.section + whole.rest == message
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    scanner, later = scan(pieces)
    assert (scanner.section, scanner.separator) == (whole.section, whole.separator)
    assert scanner.section + scanner.rest + later == message
    assert scanner.received_count == whole.received_count


@given(st.binary(max_size=300))
def test_with_the_separator_nothing_of_the_body_can_be_a_header(message: bytes) -> None:
    scanner, _ = scan([message])
    prefixed = b"Received: us\r\n" + scanner.section + scanner.separator + scanner.rest
    head, empty, body = prefixed.partition(b"\r\n\r\n")
    for line in head.removesuffix(b"\r\n").split(b"\r\n"):
        assert re.match(rb"[!-9;-~]+[ \t]*:|[ \t]", line)
    if empty:
        assert message.endswith(body)


@pytest.mark.parametrize(
    ("message", "received", "date", "known_id"),
    [
        (b"Subject: x\r\n\r\nDate: in the body\r\n", 0, False, None),
        (b"DATE: x\r\nmessage-id: <a@b>\r\nReceived: x\r\n\r\n", 1, True, "a@b"),
        (b"X-Date: x\r\nDated: x\r\nX: Date: x\r\n Date: x\r\n\r\n", 0, False, None),
        (b"Message-ID:\r\n <a@b>\r\n\r\n", 0, False, "a@b"),
        (b"Message-ID:\r\nSubject: x\r\n\r\n", 0, False, ""),
        (b"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n", 0, False, "a@b"),
        (b"Message-ID: <\xff@b>\r\n\r\n", 0, False, "\ufffd@b"),
        (b"received : a\r\nReceived:b\r\nRECEIVED: c\r\n d\r\n\r\nReceived: e\r\n", 3, False, None),
        (b"Date: x", 0, True, None),
    ],
)
def test_the_fields_that_matter(
    message: bytes, received: int, date: bool, known_id: str | None
) -> None:
    scanner, _ = scan([message])
    assert scanner.received_count == received
    assert scanner.has_date == date
    assert scanner.has_message_id == (known_id is not None)
    assert scanner.message_id == (known_id or "")


@pytest.mark.parametrize(
    ("when", "offset", "date"),
    [
        (0, 0, "Thu, 1 Jan 1970 00:00:00 +0000"),
        (1_700_000_000.9, 0, "Tue, 14 Nov 2023 22:13:20 +0000"),
        (1_700_000_000, 3600, "Tue, 14 Nov 2023 23:13:20 +0100"),
        (1_700_000_000, -12600, "Tue, 14 Nov 2023 18:43:20 -0330"),
        (951_782_400, 20700, "Tue, 29 Feb 2000 05:45:00 +0545"),
    ],
)
def test_dates(when: float, offset: int, date: str) -> None:
    assert format_date(when, offset) == date


@given(st.integers(0, 2**33), st.integers(-47, 56).map(lambda quarters: quarters * 900))
def test_the_standard_library_reads_our_dates(when: int, offset: int) -> None:
    parsed = email.utils.parsedate_to_datetime(format_date(when, offset))
    assert parsed.timestamp() == when
    shift = parsed.utcoffset()
    assert shift is not None
    assert shift.total_seconds() == offset


def received(
    *, helo: str = "client.example", address: str = "192.0.2.1", protocol: str = "ESMTP",
    recipients: tuple[str, ...] = ("user@posthouse.test",),
) -> bytes:  # fmt: skip
    origin = Origin(protocol, address, 40000, helo, "smtp")
    given = [Recipient(recipient, recipient) for recipient in recipients]
    return received_field(origin, "mx.example", QUEUE_ID, given, "DATE")


def test_the_trace_field() -> None:
    assert received() == (
        b"Received: from client.example ([192.0.2.1])\r\n"
        b"\tby mx.example (Posthouse) with ESMTP id 0bnZCRzhWN1zf8nQsm6vmV\r\n"
        b"\tfor <user@posthouse.test>; DATE\r\n"
    )


def test_several_recipients_do_not_learn_of_each_other() -> None:
    field = received(recipients=("a@posthouse.test", "b@posthouse.test"))
    assert b"posthouse.test" not in field
    assert field.endswith(b" id 0bnZCRzhWN1zf8nQsm6vmV;\r\n\tDATE\r\n")


def test_an_ipv6_client() -> None:
    assert b"from client.example ([IPv6:2001:db8::1])\r\n" in received(address="2001:db8::1")


def test_a_local_submission_has_no_client() -> None:
    assert received(address="", helo="", protocol="").startswith(
        b"Received: by mx.example (Posthouse) id 0bnZCRzhWN1zf8nQsm6vmV\r\n"
    )


@given(
    st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]), max_size=255),
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=320),
)
def test_no_peer_can_write_a_field_of_its_own(helo: str, recipient: str) -> None:
    field = received(helo=helo, recipients=(recipient,))
    assert field.isascii()
    assert field.count(b"\r\n") == field.count(b"\r\n\t") + 1
    assert max(map(len, field.split(b"\r\n"))) <= 998
    first = field.split(b"\r\n")[0]
    assert re.fullmatch(rb"Received: from [A-Za-z0-9.:_?\[\]-]+ \(\[192\.0\.2\.1\]\)", first)


def test_a_message_id_is_unique_by_its_queue_id() -> None:
    assert message_id(QUEUE_ID, "mx.example") == "0bnZCRzhWN1zf8nQsm6vmV@mx.example"
