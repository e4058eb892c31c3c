"""Replies as a client reads them: any octets, any division, bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.proto.smtp.client_replies import (
    LINE_LIMIT,
    REPLY_LIMIT,
    MalformedReply,
    Reply,
    ReplyParser,
)
from mta.proto.smtp.extensions import NO_EXTENSIONS, Extensions, parse_extensions
from mta.proto.smtp.replies import encode
from mta.proto.status import Status

WORDS = [
    b"250 ok",
    b"250-ok",
    b"250",
    b"354 go",
    b"25",
    b"\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"x",
]
octets = st.lists(
    st.one_of(st.sampled_from(WORDS), st.binary(max_size=6), st.just(b"250-" + b"y" * 900)),
    max_size=60,
).map(b"".join)


def parse(wire: bytes, size: int) -> tuple[list[Reply], str, int]:
    """The replies, what was wrong with the rest, and how much was held at most."""
    parser = ReplyParser()
    replies: list[Reply] = []
    held = 0
    for start in range(0, len(wire), size):
        parser.append(wire[start : start + size])
        try:
            replies.extend(iter(parser.take, None))
        except MalformedReply as error:
            return replies, str(error), held
        held = max(held, len(parser))
    return replies, "", held


@given(octets, st.integers(1, 3000))
def test_any_octets_mean_the_same_however_they_are_cut(wire: bytes, size: int) -> None:
    replies, fault, _ = parse(wire, len(wire) or 1)
    cut_replies, cut_fault, held = parse(wire, size)
    assert cut_replies == replies
    # A line that is too long is found out before its other faults are, or not.
    assert bool(cut_fault) == bool(fault)
    assert held <= REPLY_LIMIT + LINE_LIMIT
    for reply in replies:
        assert 200 <= reply.code <= 599
        assert str(reply).isascii()
        assert str(reply).isprintable()
        if reply.code // 100 != 3:
            Status(reply.code, reply.enhanced, "")


@given(st.integers(200, 599), st.text(max_size=2000))
def test_what_our_server_says_is_what_our_client_reads(code: int, text: str) -> None:
    enhanced = f"{code // 100}.1.5" if code // 100 != 3 else ""
    (reply,), fault, _ = parse(encode(Status(code, enhanced, text)), 7)
    assert fault == ""
    assert reply.code == code
    assert enhanced == "" or reply.enhanced == enhanced


@pytest.mark.parametrize("wire", [b"250-x\r\n", b"250-" + b"x" * 60 + b"\r\n", b"x", b"250 \r"])
def test_ten_megabytes_are_refused_early(wire: bytes) -> None:
    piece = wire * 100
    replies, fault, held = parse(piece * (10_000_000 // len(piece)), len(piece))
    assert replies == []
    assert fault.startswith(("a line of more than", "a reply of more than"))
    assert held <= REPLY_LIMIT + LINE_LIMIT + len(piece)


@pytest.mark.parametrize(
    ("wire", "enhanced", "text"),
    [
        (b"550 5.1.1 <bob>: unknown\r\n", "5.1.1", "550 5.1.1 <bob>: unknown"),
        (b"550-5.1.1 a\r\n550-5.1.1  b\r\n550 5.1.1 c\r\n", "5.1.1", "550 5.1.1 a  b c"),
        (b"550-5.1.1 a\r\n550 5.7.1 b\r\n", "5.1.1", "550 5.1.1 a 5.7.1 b"),
        (b"550-a\r\n550 b\r\n", "5.0.0", "550 a b"),
        (b"550 5.1.1\r\n", "5.1.1", "550 5.1.1"),
        (b"550\r\n", "5.0.0", "550"),
        (b"451 5.1.1 of another class\r\n", "4.0.0", "451 5.1.1 of another class"),
        (b"550 5.1.1.1 no code\r\n", "5.0.0", "550 5.1.1.1 no code"),
        (b"550 5.1234.1 no code\r\n", "5.0.0", "550 5.1234.1 no code"),
        (b"250 Ok: queued\r\n", "2.0.0", "250 Ok: queued"),
        (b"250 t\xc3\xa4b\there\x07\r\n", "2.0.0", "250 t??b here?"),
        (b"250 a\rb\r\n", "2.0.0", "250 a?b"),
    ],
)
def test_code_and_text(wire: bytes, enhanced: str, text: str) -> None:
    (reply,), _, _ = parse(wire, len(wire))
    assert (reply.enhanced, str(reply)) == (enhanced, text)


@pytest.mark.parametrize(
    ("lines", "extensions"),
    [
        ([], NO_EXTENSIONS),
        (["", " ", "XYZZY 1 2"], NO_EXTENSIONS),
        (["PIPELINING", "8BITMIME"], Extensions(pipelining=True, body_8bit=True)),
        (["pipelining"], Extensions(pipelining=True)),
        (["SIZE"], Extensions(size=True)),
        (["SIZE 0"], Extensions(size=True)),
        (["SIZE 1000"], Extensions(size=True, size_limit=1000)),
        (["SIZE x"], Extensions(size=True)),
        (["SIZE -1"], Extensions(size=True)),
        (["SIZE 1 2"], Extensions(size=True)),
        (["SIZE " + "9" * 21], Extensions(size=True)),
        (["STARTTLS", "ENHANCEDSTATUSCODES"], Extensions(starttls=True)),
        (["SIZE=1000", "PIPELININGX"], NO_EXTENSIONS),
    ],
)
def test_extensions(lines: list[str], extensions: Extensions) -> None:
    assert parse_extensions(lines) == extensions
