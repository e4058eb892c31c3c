"""Lines end in CRLF on the way in, whatever they ended in, wherever the input was divided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.submission.lines import LineReader


def read(pieces: list[bytes], *, dot_ends: bool) -> bytes:
    reader = LineReader(dot_ends=dot_ends)
    return b"".join([*map(reader.feed, pieces), reader.end()])


CASES: dict[bytes, tuple[bytes, bytes]] = {  # input: with -i, without
    b"": (b"", b""),
    b"a\nb\n": (b"a\r\nb\r\n", b"a\r\nb\r\n"),
    b"a\r\nb\r\n": (b"a\r\nb\r\n", b"a\r\nb\r\n"),
    b"a": (b"a\r\n", b"a\r\n"),
    b"a\r": (b"a\r\n", b"a\r\n"),
    b"a\rb\n": (b"a\rb\r\n", b"a\rb\r\n"),
    b"a\n.\nb\n": (b"a\r\n.\r\nb\r\n", b"a\r\n"),
    b"a\r\n.\r\nb\n": (b"a\r\n.\r\nb\r\n", b"a\r\n"),
    b".\nb\n": (b".\r\nb\r\n", b""),
    b"a\n.b\n..\n": (b"a\r\n.b\r\n..\r\n", b"a\r\n.b\r\n..\r\n"),
    b"a.\nb\n": (b"a.\r\nb\r\n", b"a.\r\nb\r\n"),
    b"a\n.": (b"a\r\n.\r\n", b"a\r\n.\r\n"),
    b"a\n.\r": (b"a\r\n.\r\n", b"a\r\n.\r\n"),
    b"a\n\n\n.\n": (b"a\r\n\r\n\r\n.\r\n", b"a\r\n\r\n\r\n"),
    b"From a Mon\nb\nFrom c\n": (b"b\r\nFrom c\r\n", b"b\r\nFrom c\r\n"),
    b">From a\nfrom b\nFrom: c\n": (b"From: c\r\n", b"From: c\r\n"),
    b"From a": (b"", b""),
    b"From": (b"From\r\n", b"From\r\n"),
    b"\0\xff\n": (b"\0\xff\r\n", b"\0\xff\r\n"),
}


@pytest.mark.parametrize("dot_ends", [False, True])
@pytest.mark.parametrize("text", CASES)
def test_lines(text: bytes, dot_ends: bool) -> None:
    expected = CASES[text][dot_ends]
    assert read([text], dot_ends=dot_ends) == expected
    assert read([bytes((octet,)) for octet in text], dot_ends=dot_ends) == expected


@given(st.lists(st.text("\r\n.aFrom >", max_size=8).map(str.encode), max_size=8), st.booleans())
def test_where_the_input_is_divided_makes_no_difference(pieces: list[bytes], dot: bool) -> None:
    once = read([b"".join(pieces)], dot_ends=dot)
    assert read(pieces, dot_ends=dot) == once
    assert not once or once.endswith(b"\r\n")
    assert b"\n" not in once.replace(b"\r\n", b"")


def test_nothing_is_kept_of_a_line_without_end() -> None:
    reader = LineReader(dot_ends=True)
    assert reader.feed(b"x" * 100_000) == b"x" * 100_000
