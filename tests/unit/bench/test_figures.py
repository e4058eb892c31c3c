"""What is said of measured values: a wrong median would be believed for years."""

import pytest
from bench.figures import Figure, Measure, Pair, Spread, measures_of, percentile, spread
from hypothesis import given
from hypothesis import strategies as st

RATE = Figure("rate", "messages/s", "more")
CPU = Figure("CPU", "ms", "less")


def measure(*pairs: tuple[float | None, float | None]) -> Measure:
    return Measure("group", "case", RATE, tuple(Pair(*pair) for pair in pairs))


def test_ratio_is_taken_pair_by_pair() -> None:
    """Of medians it would be 2: a machine that got slower meanwhile would count."""
    found = measure((1.0, 3.0), (10.0, 20.0), (100.0, 100.0))
    assert found.ratio == Spread(2.0, 1.0, 3.0)
    assert found.postfix == Spread(10.0, 1.0, 100.0)
    assert found.posthouse == Spread(20.0, 3.0, 100.0)


@pytest.mark.parametrize(
    "pairs",
    [(), ((None, 3.0),), ((2.0, None),), ((0.0, 3.0),)],
    ids=["none", "without postfix", "without posthouse", "nothing to compare with"],
)
def test_ratio_of_what_is_missing_is_missing(pairs: tuple[tuple[float, float], ...]) -> None:
    assert measure(*pairs).ratio is None


def test_half_a_pair_counts_for_its_server() -> None:
    found = measure((2.0, 4.0), (None, 6.0))
    assert found.ratio == Spread(2.0, 2.0, 2.0)
    assert found.posthouse == Spread(5.0, 4.0, 6.0)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (0.995, 100.0), (1.0, 100.0)],
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert percentile(values, share) == expected


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_median_lies_in_the_range(values: list[float]) -> None:
    found = spread(values)
    assert found is not None
    assert found.least <= found.median <= found.most


def test_turns_become_measures_in_the_order_of_finding() -> None:
    found = measures_of(
        "group",
        lambda figure: f"row of {figure.name}",
        7,
        [
            {"postfix": {RATE: 1.0}, "posthouse": {RATE: 2.0, CPU: 3.0}},
            {"postfix": {RATE: 4.0}},  # broken off
        ],
    )
    assert [(one.case, one.figure, one.size) for one in found] == [
        ("row of rate", RATE, 7),
        ("row of CPU", CPU, 7),
    ]
    assert found[0].pairs == (Pair(1.0, 2.0), Pair(4.0, None))
    assert found[1].pairs == (Pair(None, 3.0), Pair(None, None))
