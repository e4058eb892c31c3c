"""Turns at destinations, windows and suspensions, simulated: every test brings its own clock."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.daemons.qmgr import destinations
from mta.daemons.qmgr.destinations import Limits, Turns
from mta.proto.status import Status

TIMED_OUT = Status(451, "4.4.1", "delivery temporarily suspended: connection timed out")
REFUSED = Status(451, "4.4.1", "delivery temporarily suspended: connection refused")
SUSPENSION, MEMORY = 300.0, 4300.0


def limits(
    transport: int = 100, destination: int = 20, initial: int = 5, failed_cohorts: int = 1
) -> Limits:
    return Limits(transport, destination, initial, failed_cohorts, SUSPENSION, MEMORY)


def fill(turns: Turns[int], nexthop: str, count: int, now: float = 0.0) -> int:
    """Have `count` jobs wait, and begin as many as there may be."""
    for number in range(count):
        assert turns.put(nexthop, number, now) is None
    return begin(turns)


def begin(turns: Turns[int]) -> int:
    begun = 0
    while turns.take() is not None:
        begun += 1
    return begun


def succeed(turns: Turns[int], nexthop: str, now: float = 0.0) -> bool:
    resumed = turns.succeeded(nexthop)
    turns.done(nexthop, now)
    return resumed


def fail(turns: Turns[int], nexthop: str, now: float = 0.0) -> list[int] | None:
    refused = turns.failed(nexthop, TIMED_OUT, now)
    turns.done(nexthop, now)
    return refused


def suspended(nexthop: str = "dead.example", now: float = 0.0, limit: int = 20) -> Turns[int]:
    """Turns at one destination that has just been suspended."""
    turns: Turns[int] = Turns(limits(destination=limit))
    assert fill(turns, nexthop, 1) == 1
    assert fail(turns, nexthop, now) == []
    return turns


# Turns


def test_destinations_take_turns() -> None:
    turns: Turns[int] = Turns(limits())
    for nexthop in ("big.example", "small.example"):
        assert fill(turns, nexthop, 1) == 1
        succeed(turns, nexthop)
    for number in range(3):
        turns.put("big.example", number, 0.0)
    turns.put("small.example", 0, 0.0)
    assert [turns.take() for _ in range(5)] == [
        ("big.example", 0),
        ("small.example", 0),
        ("big.example", 1),
        ("big.example", 2),
        None,
    ]


def test_the_transport_has_a_limit_over_all_destinations() -> None:
    turns: Turns[int] = Turns(limits(transport=3))
    assert fill(turns, "a.example", 5) == 3  # it is alone: it may have the half of the others too
    assert fill(turns, "b.example", 5) == 0
    for nexthop in ("a.example", "b.example"):  # the proven and the new take turns
        succeed(turns, "a.example")
        begun = turns.take()
        assert begun is not None
        assert begun[0] == nexthop


def test_no_memory_is_kept_of_a_destination_that_taught_nothing() -> None:
    turns: Turns[int] = Turns(limits())
    assert fill(turns, "a.example", 1) == 1
    turns.done("a.example", 0.0)
    assert not turns._destinations


# Windows


@pytest.mark.parametrize(
    ("limit", "outcomes", "windows"),
    [
        # s: a session was begun, f: none could be, -: nothing is known. Each outcome is that of
        # one delivery of as many as the window allows; the windows are those after each.
        (20, "ssss", [6, 7, 8, 9]),
        (6, "sss", [6, 6, 6]),
        (3, "s", [3]),  # never above the limit, not even at first
        (20, "---", [5, 5, 5]),
        (20, "sfsf", [6, 5, 6, 5]),
        (20, "ssssffff", [6, 7, 8, 9, 8, 7, 6, 5]),
        (20, "ssfffs", [6, 7, 6, 5, 4, 5]),
        (20, "fff", [4, 3, 2]),
        # The fourth failure in a row completes the cohort of five: nothing more is begun.
        (20, "ffff", [4, 3, 2, 0]),
        (20, "fffsffff", [4, 3, 2, 3, 2, 1, 0, 0]),
        (20, "s" * 20 + "f" * 13, [*range(6, 21), *[20] * 5, *range(19, 7, -1), 0]),
    ],
)
def test_windows(limit: int, outcomes: str, windows: list[int]) -> None:
    turns: Turns[int] = Turns(limits(destination=limit))
    fill(turns, "a.example", 60)
    seen = []
    for letter in outcomes:
        match letter:
            case "s":
                turns.succeeded("a.example")
            case "f":
                turns.failed("a.example", TIMED_OUT, 0.0)
        turns.done("a.example", 0.0)
        begin(turns)
        destination = turns._destinations["a.example"]
        seen.append(0 if destination.reason is not None else destination.window)
        assert destination.reason is not None or destination.busy == destination.window
    assert seen == windows


@pytest.mark.parametrize(
    ("tried", "cohorts", "failures"),
    [(1, 1, 1), (2, 1, 2), (3, 1, 3), (5, 1, 4), (9, 1, 4), (1, 2, 2), (1, 3, 3)],
)
def test_who_never_answered_is_left_alone_after_what_was_tried(
    tried: int, cohorts: int, failures: int
) -> None:
    turns: Turns[int] = Turns(limits(failed_cohorts=cohorts))
    fill(turns, "a.example", tried)
    for number in range(1, failures + 1):
        if not turns._destinations["a.example"].busy:
            assert fill(turns, "a.example", 1) == 1
        assert (fail(turns, "a.example") is not None) == (number == failures)


def test_a_chance_failure_of_who_answered_before_suspends_nothing() -> None:
    turns: Turns[int] = Turns(limits())
    for _ in range(3):
        assert fill(turns, "a.example", 1) == 1
        succeed(turns, "a.example")
    assert fill(turns, "a.example", 1) == 1
    assert fail(turns, "a.example") is None
    assert fill(turns, "a.example", 1) == 1


def test_a_wide_window_does_not_outlive_the_work() -> None:
    """Else a host that died overnight would cost a timeout for each place of its best day."""
    turns: Turns[int] = Turns(limits())
    fill(turns, "a.example", 40)
    for _ in range(40):
        succeed(turns, "a.example")
        begin(turns)
    assert fill(turns, "a.example", 40) == 5


# Suspensions


def test_what_waits_and_what_arrives_is_refused_with_the_reason() -> None:
    turns: Turns[int] = Turns(limits())
    assert fill(turns, "dead.example", 9) == 5
    refused = [fail(turns, "dead.example", 10.0) for _ in range(4)]
    assert refused == [None, None, None, [5, 6, 7, 8]]
    assert turns.put("dead.example", 9, 10.0) == TIMED_OUT
    assert turns.put("dead.example", 9, 309.9) == TIMED_OUT
    assert fail(turns, "dead.example", 20.0) is None  # the fifth ends: nothing new
    assert turns.take() is None


def test_after_the_suspension_one_at_a_time_probes_until_a_session_begins() -> None:
    turns = suspended()
    assert fill(turns, "dead.example", 8, 300.0) == 1
    turns.done("dead.example", 301.0)  # the agent died: nothing is known
    assert begin(turns) == 1
    assert turns.failed("dead.example", REFUSED, 310.0) == [2, 3, 4, 5, 6, 7]
    turns.done("dead.example", 310.0)
    assert turns.put("dead.example", 0, 609.9) == REFUSED
    assert fill(turns, "dead.example", 8, 610.0) == 1
    assert succeed(turns, "dead.example", 611.0)
    assert begin(turns) == 5


def test_a_late_success_ends_a_suspension() -> None:
    turns: Turns[int] = Turns(limits())
    assert fill(turns, "a.example", 5) == 5
    for _ in range(4):
        fail(turns, "a.example")
    assert turns.put("a.example", 0, 1.0) == TIMED_OUT
    assert succeed(turns, "a.example", 2.0)
    assert fill(turns, "a.example", 8, 3.0) == 5


def test_an_operator_can_end_all_suspensions() -> None:
    turns = suspended()
    turns.probe()
    assert fill(turns, "dead.example", 3, 1.0) == 1
    assert fail(turns, "dead.example", 2.0) == [1, 2]
    assert turns.put("dead.example", 0, 301.9) == TIMED_OUT


def test_the_memory_of_a_destination_expires() -> None:
    turns = suspended()
    assert turns.put("dead.example", 0, 200.0) == TIMED_OUT  # mail for it keeps the memory
    assert fill(turns, "a.example", 1, 200.0 + MEMORY - 1) == 1
    assert "dead.example" in turns._destinations
    succeed(turns, "a.example", 200.0 + MEMORY - 1)
    assert fill(turns, "b.example", 1, 200.0 + MEMORY) == 1
    assert "dead.example" not in turns._destinations
    assert "a.example" in turns._destinations
    assert fill(turns, "dead.example", 9, 200.0 + MEMORY) == 5


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "KNOWN_LIMIT", 3)
    turns: Turns[int] = Turns(limits())
    for number in range(10):
        assert fill(turns, f"d{number}.example", 1) == 1
        fail(turns, f"d{number}.example")
    assert list(turns._destinations) == ["d7.example", "d8.example", "d9.example"]


# The share of those that are not proven


def test_those_of_whom_nothing_is_known_have_half_of_the_places() -> None:
    turns: Turns[int] = Turns(limits(transport=10))
    for number in range(20):
        turns.put(f"new{number}.example", number, 0.0)
    assert begin(turns) == 5
    turns.succeeded("new0.example")
    turns.done("new0.example", 0.0)
    assert begin(turns) == 1
    assert fill(turns, "new0.example", 20) == 5  # what is proven has the rest


def test_first_places_come_before_second_ones() -> None:
    turns: Turns[int] = Turns(limits(transport=10))
    for number in range(3):
        turns.put("a.example", number, 0.0)
    turns.put("b.example", 3, 0.0)
    assert [turns.take() for _ in range(5)] == [
        ("a.example", 0),
        ("b.example", 3),
        ("a.example", 1),
        ("a.example", 2),
        None,
    ]


def test_the_living_leave_turns_to_the_untried() -> None:
    """A backlog to those that answer must not keep first mail to others waiting."""
    turns: Turns[int] = Turns(limits(transport=2))
    assert fill(turns, "big.example", 1) == 1
    succeed(turns, "big.example")
    fill(turns, "big.example", 100)
    turns.put("new.example", 0, 0.0)
    succeed(turns, "big.example")
    assert turns.take() == ("new.example", 0)


# Whole days of work


class Day:
    """Deliveries to destinations, each with its cost in seconds; None never answers: 30 s."""

    def __init__(self, bounds: Limits, costs: dict[str, float | None]) -> None:
        self.turns: Turns[int] = Turns(bounds)
        self.ended: dict[str, float] = {}  # when the last mail to a destination was delivered
        self.delivered: Counter[str] = Counter()
        self.deferred: Counter[str] = Counter()
        self.tried: Counter[str] = Counter()
        self.most = 0
        self._costs = costs
        self._running: list[tuple[float, str]] = []
        self._now = 0.0

    def arrive(self, nexthops: Iterable[str]) -> None:
        for number, nexthop in enumerate(nexthops):
            if self.turns.put(nexthop, number, self._now) is not None:
                self.deferred[nexthop] += 1

    def run(self) -> float:
        """Work until nothing is left; when the last mail was delivered."""
        while True:
            while (begun := self.turns.take()) is not None:
                cost = self._costs[begun[0]]
                self.tried[begun[0]] += 1
                heapq.heappush(self._running, (self._now + (cost or 30.0), begun[0]))
            self.most = max(self.most, len(self._running))
            if not self._running:
                return max(self.ended.values())
            self._now, nexthop = heapq.heappop(self._running)
            self._end(nexthop)

    def _end(self, nexthop: str) -> None:
        if self._costs[nexthop] is None:
            refused = self.turns.failed(nexthop, TIMED_OUT, self._now)
            self.deferred[nexthop] += 1 + len(refused or ())
        else:
            self.turns.succeeded(nexthop)
            self.delivered[nexthop] += 1
            self.ended[nexthop] = self._now
        self.turns.done(nexthop, self._now)


def test_a_hundred_dead_destinations_hold_up_nobody() -> None:
    """500 destinations, 100 of them dead, 10,000 messages, 400 places."""
    living = {f"live{number}.example": 1.0 for number in range(400)}
    dead: dict[str, float | None] = {f"dead{number}.example": None for number in range(100)}
    messages = [name for _ in range(20) for name in (*living, *dead)]
    bounds = limits(transport=400)

    day = Day(bounds, {**living, **dead})
    day.arrive(messages)
    took = day.run()
    undisturbed = Day(bounds, dict(living))
    undisturbed.arrive([name for name in messages if name in living])

    assert took <= 1.5 * undisturbed.run()
    assert day.delivered == dict.fromkeys(living, 20)
    assert day.deferred == dict.fromkeys(dead, 20)
    assert day.most <= 400
    # What the dead cost: one round of a first window each, at most.
    assert max(day.tried[name] for name in dead) <= bounds.initial


def test_living_destinations_fare_alike() -> None:
    costs: dict[str, float | None] = {f"d{number}.example": 1.0 for number in range(40)}
    day = Day(limits(transport=20), costs)
    day.arrive([name for name in costs for _ in range(20)])  # one after the other, not mixed
    took = day.run()
    assert took <= 800 / 20 + 5  # no place was idle for long
    assert min(day.ended.values()) >= 0.6 * took  # who is proven first has a lead


def test_a_slow_destination_holds_up_nobody_else() -> None:
    costs: dict[str, float | None] = {"slow.example": 600.0, "quick.example": 1.0}
    day = Day(limits(transport=40), costs)
    day.arrive(["slow.example", "quick.example"] * 100)
    day.run()
    assert day.ended["quick.example"] <= 15.0


# What always holds


@given(
    jobs=st.lists(st.integers(0, 4), max_size=60),
    transport=st.integers(1, 8),
    destination=st.integers(1, 4),
    initial=st.integers(1, 6),
    cohorts=st.integers(1, 2),
    data=st.data(),
)
def test_every_job_is_begun_or_refused_once_and_no_limit_is_passed(
    jobs: list[int],
    transport: int,
    destination: int,
    initial: int,
    cohorts: int,
    data: st.DataObject,
) -> None:
    turns: Turns[int] = Turns(limits(transport, destination, initial, cohorts))
    waiting = list(enumerate(jobs))
    running: list[str] = []
    refused: list[int] = []
    begun: dict[str, list[int]] = defaultdict(list)
    now = 0.0
    while len(refused) + sum(map(len, begun.values())) < len(jobs) or running:
        now += data.draw(st.sampled_from([0.0, 1.0, 200.0, 5000.0]))
        if waiting and (not running or data.draw(st.booleans())):
            job, number = waiting.pop(0)
            if turns.put(str(number), job, now) is not None:
                refused.append(job)
        if (item := turns.take()) is not None:
            begun[item[0]].append(item[1])
            running.append(item[0])
        elif running:
            nexthop = running.pop(data.draw(st.integers(0, len(running) - 1)))
            match data.draw(st.sampled_from(["succeeded", "failed", "lost"])):
                case "succeeded":
                    turns.succeeded(nexthop)
                case "failed":
                    refused += turns.failed(nexthop, TIMED_OUT, now) or []
            turns.done(nexthop, now)
        busy = Counter(running)
        assert len(running) <= transport
        assert max(busy.values(), default=0) <= destination
        unproven = [name for name in busy if not turns._destinations[name].proven]
        assert turns._unproven == sum(busy[name] for name in unproven)
    assert turns.take() is None
    assert sorted([*refused, *(job for own in begun.values() for job in own)]) == [
        *range(len(jobs))
    ]
    for own in begun.values():  # first come, first served within a destination
        assert own == sorted(own)


@given(st.lists(st.sampled_from(["put", "succeeded", "failed", "lost", "later"]), max_size=60))
def test_a_suspended_destination_is_tried_by_one_at_a_time(verbs: list[str]) -> None:
    turns = suspended()
    now, until, busy = 0.0, SUSPENSION, 0
    for number, verb in enumerate(verbs):
        if verb == "put":
            refused = turns.put("dead.example", number, now)
            assert (refused is not None) == (now < until)
        elif verb == "later":
            now += 200.0
        elif busy:
            if verb == "succeeded":
                assert succeed(turns, "dead.example", now)
                return
            if verb == "failed":
                assert fail(turns, "dead.example", now) is not None
                until = now + SUSPENSION
            else:
                turns.done("dead.example", now)
            busy -= 1
        busy += begin(turns)
        assert busy <= 1
