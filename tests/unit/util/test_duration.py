"""Durations are written as an operator would, and mean the same when read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.util.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.1, "0.1s"),
        (59.0, "59s"),
        (300.0, "5m"),
        (5400.0, "90m"),
        (86400.0, "1d"),
        (31622399.0, "31622399s"),
        (366 * 86400.0, "366d"),
    ],
)
def test_the_largest_unit_that_divides_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 366 * 86400 * 10**6))
def test_what_is_written_means_the_same(microseconds: int) -> None:
    seconds = microseconds / 10**6
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)
