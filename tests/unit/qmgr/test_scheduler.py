"""The order of work, simulated: every test brings its own clock."""

import heapq
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.daemons.qmgr.scheduler import Calendar, Entry, Turns, next_attempt


def fresh(queue_id: str, due: float = 0.0) -> Entry:
    return Entry(due, queue_id, deferred=False, found=False)


def deferred(queue_id: str, due: float = 0.0) -> Entry:
    return Entry(due, queue_id, deferred=True, found=False)


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
        (-50, 300),  # the clock was set back
    ],
)
def test_the_pause_is_the_age_within_its_bounds(age: float, pause: float) -> None:
    assert next_attempt(10_000.0 + age, 10_000.0, 300, 4000) == 10_000.0 + age + pause


def test_a_message_that_always_fails_is_tried_as_postfix_would() -> None:
    attempts = [0.0]
    while attempts[-1] < 14_000:
        attempts.append(next_attempt(attempts[-1], 0.0, 300, 4000))
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


# Turns


def test_destinations_take_turns() -> None:
    turns: Turns[int] = Turns(transport_limit=100, destination_limit=100)
    for number in range(3):
        turns.put("big.example", number)
    turns.put("small.example", 0)
    order = [turns.take() for _ in range(5)]
    assert order == [
        ("big.example", 0),
        ("small.example", 0),
        ("big.example", 1),
        ("big.example", 2),
        None,
    ]


def test_a_destination_that_never_answers_holds_up_nobody_else() -> None:
    turns: Turns[int] = Turns(transport_limit=10, destination_limit=2)
    for number in range(50):
        turns.put("stuck.example", number)
        turns.put("quick.example", number)
    delivered = 0
    while (begun := turns.take()) is not None:
        if begun[0] == "quick.example":
            delivered += 1
            turns.done("quick.example")
    assert delivered == 50


def test_the_transport_has_a_limit_over_all_destinations() -> None:
    turns: Turns[int] = Turns(transport_limit=3, destination_limit=2)
    for number in range(10):
        turns.put(f"d{number}.example", number)
    assert [turns.take() is not None for _ in range(4)] == [True, True, True, False]
    turns.done("d0.example")
    assert turns.take() == ("d3.example", 3)


def test_no_memory_is_kept_of_a_destination_that_is_done_with() -> None:
    turns: Turns[int] = Turns(transport_limit=3, destination_limit=2)
    turns.put("a.example", 1)
    turns.take()
    turns.done("a.example")
    assert not turns._destinations


@given(
    jobs=st.lists(st.integers(0, 4), max_size=60),
    transport_limit=st.integers(1, 6),
    destination_limit=st.integers(1, 4),
    data=st.data(),
)
def test_every_delivery_begins_once_and_no_limit_is_ever_passed(
    jobs: list[int], transport_limit: int, destination_limit: int, data: st.DataObject
) -> None:
    turns: Turns[int] = Turns(transport_limit, destination_limit)
    waiting = list(enumerate(jobs))
    running: list[str] = []
    begun: list[int] = []
    while len(begun) < len(jobs) or running:
        another: bool = data.draw(st.booleans())
        if waiting and (another or not running):
            job, nexthop = waiting.pop(0)
            turns.put(str(nexthop), job)
        if (item := turns.take()) is not None:
            begun.append(item[1])
            running.append(item[0])
        elif running:
            turns.done(running.pop(data.draw(st.integers(0, len(running) - 1))))
        assert len(running) <= transport_limit
        assert max(Counter(running).values(), default=0) <= destination_limit
    assert sorted(begun) == list(range(len(jobs)))
    for nexthop in set(jobs):  # first come, first served within a destination
        own = [job for job in begun if jobs[job] == nexthop]
        assert own == sorted(own)


def test_a_hundred_messages_to_a_dead_host_leave_the_living_alone() -> None:
    """A dead host takes 10 s a delivery, a living one 1 s: the living one is never kept waiting."""
    turns: Turns[float] = Turns(transport_limit=8, destination_limit=4)
    cost = {"dead.example": 10.0, "living.example": 1.0}
    for _ in range(100):
        for nexthop, seconds in cost.items():
            turns.put(nexthop, seconds)
    now, running, ends = 0.0, list[tuple[float, str]](), Counter[str]()
    while ends["living.example"] < 100:
        while (begun := turns.take()) is not None:
            heapq.heappush(running, (now + begun[1], begun[0]))
        now, nexthop = heapq.heappop(running)
        ends[nexthop] += 1
        turns.done(nexthop)
    assert now == 25.0  # 100 deliveries, 4 at once, 1 s each
