"""What counts as growth in a long run, and what does not."""

import pytest
from reliability.soak.growth import SHORTEST, Bound, growths

BOUND = Bound(part=0.1, extra=1024)


@pytest.mark.parametrize(
    ("values", "excessive"),
    [
        pytest.param([15_000.0] * 9, False, id="the same for ever"),
        pytest.param([15_000, 16_000, 16_100, *[16_100.0] * 6], False, id="warming up"),
        pytest.param([15_000, 15_000, 90_000, 15_000, 15_000, 15_000], False, id="one odd value"),
        pytest.param([15_000 + 500 * n for n in range(12)], True, id="a steady leak"),
        pytest.param([15_000, 15_000, 15_000, 20_000, 20_000, 20_000], True, id="a step"),
        pytest.param([15_000, 18_000], False, id="too short a series to be strict"),
        pytest.param([15_000, 25_000], True, id="a short series, and very much"),
    ],
)
def test_growth_is_told_from_noise(values: list[float], excessive: bool) -> None:
    (growth,) = growths({("qmgr", 7): values}, BOUND)
    assert growth.excessive is excessive
    assert str(growth).startswith("qmgr[7] grew from")


def test_each_process_is_compared_with_itself() -> None:
    """A successor that begins small does not hide what its predecessor had grown to."""
    series = {("qmgr", 1): [10.0, 20.0, 30_000.0], ("qmgr", 2): [10.0, 10.0], ("log", 3): [10.0]}
    assert {(growth.pid, growth.excessive) for growth in growths(series, BOUND)} == {
        (1, True),
        (2, False),
    }


def test_a_long_series_has_less_latitude() -> None:
    strict, loose = (BOUND.limit(1000.0, strict=strict) for strict in (True, False))
    assert strict < loose
    (growth,) = growths({("log", 3): [1000.0] * SHORTEST}, BOUND)
    assert growth.limit == strict
