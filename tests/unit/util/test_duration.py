"""Durations: what is written can be read again, and means the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.util.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.5, "0.5s"),
        (90.0, "90s"),
        (300.0, "5m"),
        (4000.0, "4000s"),
        (14400.0, "4h"),
        (5 * 86400.0, "5d"),
        (123456.7, "123456.7s"),
        (1e-7, "1e-07"),
    ],
)
def test_the_largest_unit_that_leaves_a_whole_number(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(0, 366 * 86400) | st.integers(0, 366 * 86400).map(float))
def test_nothing_is_lost(seconds: float) -> None:
    text = format_duration(seconds)
    found = parse_duration(text)
    assert (float(text) if found is None else found) == seconds
