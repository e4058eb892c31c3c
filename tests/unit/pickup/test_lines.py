"""Line ends, however the octets come."""

from hypothesis import given
from hypothesis import strategies as st

from mta.daemons.pickup.lines import LineEnds

PIECES = st.lists(st.text("ab\r\n.", max_size=6).map(str.encode), max_size=8)


def put_right(*pieces: bytes) -> bytes:
    lines = LineEnds()
    return b"".join([*map(lines.feed, pieces), lines.end()])


@given(PIECES)
def test_no_octet_of_a_line_end_is_alone(pieces: list[bytes]) -> None:
    stored = put_right(*pieces)
    assert stored.count(b"\r") == stored.count(b"\n") == stored.count(b"\r\n")
    assert not stored or stored.endswith(b"\r\n")


@given(PIECES)
def test_it_does_not_matter_how_the_octets_come(pieces: list[bytes]) -> None:
    assert put_right(*pieces) == put_right(b"".join(pieces))


@given(PIECES)
def test_what_is_right_stays_as_it_is(pieces: list[bytes]) -> None:
    stored = put_right(*pieces)
    assert put_right(stored) == stored
