"""Netstrings, as a socketmap server may send them: in any pieces, and with anything in them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.lookup.netstrings import NetstringError, NetstringReader, encode_netstring

LIMIT = 100


def read(data: bytes, piece: int = 1 << 20) -> tuple[bytes | None, int]:
    """What a reader makes of these octets, of which it gets so many at a time; and how many."""
    reader, taken = NetstringReader(LIMIT), 0
    while taken < len(data):
        part = data[taken : taken + min(reader.wanted, piece)]
        taken += len(part)
        if (content := reader.feed(part)) is not None:
            return content, taken
    return None, taken


@given(st.binary(max_size=LIMIT), st.binary(max_size=5), st.integers(1, 7))
def test_what_is_written_is_read(content: bytes, after: bytes, piece: int) -> None:
    """In pieces of any size, and without a look at what follows."""
    whole = encode_netstring(content)
    assert read(whole + after, piece) == (content, len(whole))
    assert read(whole[:-1], piece)[0] is None


@given(st.binary(max_size=40) | st.text("0123456789:,x", max_size=12).map(str.encode))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(NetstringError):
        content, taken = read(data)
        if content is not None:
            assert encode_netstring(content) == data[:taken]


@pytest.mark.parametrize(
    "data",
    [b":,", b"x", b"-1:", b"01:a,", b"00:,", b" 1:a,", b"1:ab", b"101:", b"9" * 5000, b"1 :a,"],
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(NetstringError):
        read(data)
