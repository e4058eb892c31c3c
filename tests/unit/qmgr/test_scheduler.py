"""The order of work, simulated: every test brings its own clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.daemons.qmgr.scheduler import Calendar, Entry, backoff


def fresh(queue_id: str, due: float = 0.0) -> Entry:
    return Entry(due, queue_id, deferred=False, found=False, born=0.0)


def deferred(queue_id: str, due: float = 0.0) -> Entry:
    return Entry(due, queue_id, deferred=True, found=False, born=0.0)


def drain(calendar: Calendar, now: float) -> list[str]:
    taken = []
    while (entry := calendar.take(now)) is not None:
        taken.append(entry.queue_id)
    return taken


# Backoff


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (0, 300),  # never sooner than minimal_backoff_time
        (299, 300),
        (301, 301),  # from then on the age itself
        (1200, 1200),
        (4001, 4000),  # never later than maximal_backoff_time
        (400_000, 4000),
    ],
)
def test_the_pause_is_the_age_within_its_bounds(age: float, pause: float) -> None:
    assert backoff(age, 300, 4000) == pause


def test_a_message_that_always_fails_is_tried_as_postfix_would() -> None:
    attempts = [0.0]
    while attempts[-1] < 14_000:
        attempts.append(attempts[-1] + backoff(attempts[-1], 300, 4000))
    assert attempts == [0, 300, 600, 1200, 2400, 4800, 8800, 12800, 16800]


# Calendar


def test_nothing_is_due_before_its_time() -> None:
    calendar = Calendar()
    calendar.put(deferred("late", 20.0))
    calendar.put(deferred("early", 10.0))
    assert calendar.next_due() == 10.0
    assert calendar.take(9.999) is None
    assert drain(calendar, 10.0) == ["early"]
    assert calendar.next_due() == 20.0
    assert drain(calendar, 30.0) == ["late"]
    assert (len(calendar), calendar.next_due()) == (0, None)


def test_a_backlog_does_not_starve_fresh_mail_nor_the_other_way_round() -> None:
    calendar = Calendar()
    for number in range(4):
        calendar.put(deferred(f"d{number}", float(number)))
        calendar.put(fresh(f"f{number}", 100.0 + number))
    assert drain(calendar, 200.0) == ["f0", "d0", "f1", "d1", "f2", "d2", "f3", "d3"]


def test_a_flush_makes_all_due_or_one() -> None:
    calendar = Calendar()
    for name in "abc":
        calendar.put(deferred(name, 1000.0))
    calendar.put(deferred("past", 1.0))
    assert calendar.hasten(5.0, "nobody") == 0
    assert calendar.hasten(5.0, "b") == 1
    assert drain(calendar, 5.0) == ["past", "b"]
    assert calendar.hasten(6.0) == 2
    assert drain(calendar, 6.0) == ["a", "c"]


def test_flushing_one_message_again_and_again_costs_no_memory() -> None:
    calendar = Calendar()
    calendar.put(deferred("x", 1e9))
    for moment in range(10_000, 0, -1):
        calendar.hasten(float(moment), "x")
    assert len(calendar._deferred._heap) < 200
    assert drain(calendar, 1.0) == ["x"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "hasten", "take"]), st.integers(0, 20), st.booleans())
    )
)
def test_the_calendar_is_a_sorted_list(steps: list[tuple[str, int, bool]]) -> None:
    calendar = Calendar()
    model: dict[str, float] = {}
    for number, (verb, value, everything) in enumerate(steps):
        if verb == "put":
            model[f"m{number}"] = float(value)
            calendar.put(deferred(f"m{number}", float(value)))
        elif verb == "hasten":
            concerned = list(model) if everything else [f"m{value}"] * (f"m{value}" in model)
            assert calendar.hasten(float(value), "" if everything else f"m{value}") == len(
                concerned
            )
            model.update({name: min(model[name], float(value)) for name in concerned})
        else:
            entry = calendar.take(float(value))
            if entry is None:
                assert all(due > value for due in model.values())
            else:
                assert entry.due == min(model.values()) == model.pop(entry.queue_id)
        assert len(calendar) == len(model)
        assert calendar.next_due() == min(model.values(), default=None)
