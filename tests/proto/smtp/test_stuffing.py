"""Content on its way to a server: whatever it is, the server finds its end, and nothing else."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.proto.smtp.buffer import ReceiveBuffer
from mta.proto.smtp.content import ContentDecoder
from mta.proto.smtp.stuffing import DotStuffer

parts = st.lists(
    st.one_of(
        st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"\r\n.\r\n", b"\n.\n", b"\r.\r"]),
        st.binary(max_size=8),
    ),
    max_size=40,
).map(b"".join)


def stuffed(content: bytes, size: int) -> bytes:
    stuffer = DotStuffer()
    pieces = [stuffer.stuff(content[i : i + size]) for i in range(0, len(content), size)]
    return b"".join(pieces) + stuffer.finish()


def normalised(content: bytes) -> bytes:
    """What the law makes of line ends, in the words of regular expressions."""
    content = re.sub(rb"\r(?!\n)", b" ", content)
    content = re.sub(rb"(?<!\r)\n", b"\r\n", content)
    return content if not content or content.endswith(b"\r\n") else content + b"\r\n"


@given(parts, st.integers(1, 50))
@example(b"", 1)
@example(b".", 1)
@example(b"\r", 1)
@example(b"a\r\n.\r\nMAIL FROM:<>\r\n", 3)
@example(b"a\n.\r\nMAIL FROM:<>\r\n", 3)
def test_our_own_server_gets_the_content_and_finds_its_end(content: bytes, size: int) -> None:
    wire = stuffed(content, size)
    assert wire == stuffed(content, len(content) or 1)
    assert wire.replace(b"\r\n", b"").count(b"\r") == 0
    assert wire.replace(b"\r\n", b"").count(b"\n") == 0
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3
    buffer = ReceiveBuffer(512)
    buffer.append(wire + b"QUIT\r\n")
    decoder = ContentDecoder(buffer, 10**9, 10**9)
    assert decoder.decode(buffer) == normalised(content)
    assert decoder.complete
    assert decoder.fault is None
    assert buffer.take_line() == b"QUIT"


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n..b\r\n", b"a\r\n...b\r\n.\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb\r\n", b"a . b\r\n.\r\n"),
        (b"a\r\r\n", b"a \r\n.\r\n"),
        (b"a\r", b"a \r\n.\r\n"),
    ],
)
def test_line_ends_and_dots(content: bytes, wire: bytes) -> None:
    assert stuffed(content, 1) == wire
    assert stuffed(content, 100) == wire
