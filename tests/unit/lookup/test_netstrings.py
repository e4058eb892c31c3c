"""Netstrings, as a socketmap server may send them: in any pieces, and with anything in them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.lookup.netstrings import NetstringError, NetstringReader, encode_netstring

LIMIT = 100


def read(data: bytes, piece: int = 1 << 20) -> bytes | None:
    """What a reader makes of these octets, of which it gets so many at a time."""
    reader = NetstringReader(LIMIT)
    content = None
    for start in range(0, len(data), piece):
        content = reader.feed(data[start : start + piece])
    return content


@given(st.binary(max_size=LIMIT), st.binary(min_size=1, max_size=5), st.integers(1, 7))
def test_what_is_written_is_read(content: bytes, after: bytes, piece: int) -> None:
    """In pieces of any size; nothing may follow, for one reply is all that was asked for."""
    whole = encode_netstring(content)
    assert read(whole, piece) == content
    assert read(whole[:-1], piece) is None
    with pytest.raises(NetstringError):
        read(whole + after, piece)


@given(st.binary(max_size=40) | st.text("0123456789:,x", max_size=12).map(str.encode))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(NetstringError):
        content = read(data)
        if content is not None:
            assert encode_netstring(content) == data


@pytest.mark.parametrize(
    "data",
    [b":,", b"x", b"-1:", b"01:a,", b"00:,", b" 1:a,", b"1:ab", b"101:", b"9" * 5000, b"1 :a,"],
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(NetstringError):
        read(data)
