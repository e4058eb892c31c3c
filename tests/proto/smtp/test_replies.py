"""Replies on the wire: nothing that a status says can break the reply's form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp_server import replies_of

from mta.proto.smtp.replies import LINE_LIMIT, START_CONTENT, encode, encode_bare
from mta.proto.status import Status


@pytest.mark.parametrize(
    ("status", "wire"),
    [
        (Status(250, "2.1.5", "Ok"), b"250 2.1.5 Ok\r\n"),
        (START_CONTENT, b"354 End data with <CR><LF>.<CR><LF>\r\n"),
        (Status(550, "5.7.1", "no\nnever"), b"550-5.7.1 no\r\n550 5.7.1 never\r\n"),
        (Status(550, "5.7.1", "a\r250 Ok\0\u00fc"), b"550 5.7.1 a?250 Ok??\r\n"),
        (Status(550, "5.7.1", ""), b"550 5.7.1 \r\n"),
    ],
)
def test_a_status_is_one_reply(status: Status, wire: bytes) -> None:
    assert encode(status) == wire


def test_a_long_text_goes_on_in_the_next_line() -> None:
    lines = encode(Status(550, "5.7.1", "x" * 1200)).splitlines(keepends=True)
    assert [line[:10] for line in lines] == [b"550-5.7.1 ", b"550-5.7.1 ", b"550 5.7.1 "]
    assert max(map(len, lines)) == LINE_LIMIT
    assert sum(line.count(b"x") for line in lines) == 1200


@given(st.text())
def test_any_text_is_exactly_one_reply(text: str) -> None:
    assert len(replies_of(encode(Status(451, "4.3.0", text)))) == 1
    assert len(replies_of(encode_bare(220, text.replace("\n", "")))) == 1
