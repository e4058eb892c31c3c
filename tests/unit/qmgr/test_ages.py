"""Ages by a simulated machine: its wall clock jumps, it sleeps, and queue managers come and go."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.daemons.qmgr.ages import WallClock, settled

DAY = 86400.0
YEAR = 365 * DAY
DRIFT = 10.0  # what is less is no jump
ROUNDING = 0.001  # of sums with the time of day
NOW = 1_790_000_000.0

Steps = list[tuple[str, float]]
JUMPS = st.floats(-50 * YEAR, 50 * YEAR)
PAUSES = st.floats(0.0, 10 * DAY)
# wait: awake; sleep: the wall clock alone goes on; jump: it is set
STEP = st.one_of(
    st.tuples(st.just("wait"), PAUSES),
    st.tuples(st.just("sleep"), PAUSES),
    st.tuples(st.just("jump"), JUMPS),
)
STEPS = st.lists(STEP, max_size=10)


class Machine:
    """Both clocks, and how long the machine was awake since it was told to count."""

    def __init__(self) -> None:
        self.wall = NOW
        self.awake = 1000.0

    def live(self, steps: Steps) -> float:
        """How long the machine is awake during all that."""
        began = self.awake
        for what, seconds in steps:
            if what != "jump":
                self.wall += seconds
            else:
                self.wall = max(0.0, self.wall + seconds)
            if what == "wait":
                self.awake += seconds
        return self.awake - began

    def look(self, clock: WallClock) -> float:
        return clock.look(self.wall, self.awake)


@given(STEPS)
def test_no_jump_and_no_sleep_ages_a_message_that_was_seen(steps: Steps) -> None:
    machine = Machine()
    birth = WallClock(machine.wall, machine.awake).born(NOW - DAY)
    lived = machine.live(steps)
    assert machine.awake - settled(birth, machine.awake, NOW - DAY, None) == pytest.approx(
        DAY + lived, abs=0.01
    )


@given(STEPS, st.lists(STEP, max_size=2))
@example([("jump", -11.0)], [("sleep", 2.0)])
@example([("jump", -YEAR)], [("sleep", 9.0), ("sleep", 9.0)])
@example([("jump", -11.0)], [("jump", -2.0)])
def test_a_message_is_no_older_for_a_jump_before_it_is_seen(before: Steps, after: Steps) -> None:
    """A client may take its time; or a notification is lost, and a scan finds the message."""
    machine = Machine()
    clock = WallClock(machine.wall, machine.awake)
    lag = 0.0
    for step in before:
        lag = max(lag, machine.live([step]))
        machine.look(clock)
    arrived, began = machine.wall, machine.awake
    for step in after:
        lag = max(lag, machine.live([step]))
        machine.look(clock)
    machine.look(clock)
    birth = clock.born(arrived)
    age = machine.awake - settled(birth, machine.awake, arrived, None)
    assert 0.0 <= age <= machine.awake - began + lag + DRIFT * len(after) + ROUNDING
    if not any(what == "jump" and seconds < 0 for what, seconds in (*before, *after)):
        assert age == pytest.approx(machine.awake - began, abs=lag + DRIFT * len(after) + ROUNDING)


def test_a_message_on_its_way_while_the_clock_jumps_is_new() -> None:
    """Cleanup notes when it begins; the queue manager hears of it when it is committed."""
    for jump in (-50 * YEAR, -YEAR, -60.0, 60.0, YEAR, 200 * YEAR):
        machine = Machine()
        clock = WallClock(machine.wall, machine.awake)
        machine.live([("wait", 1.0)])
        arrived = machine.wall
        machine.live([("wait", 0.5), ("jump", jump), ("wait", 0.5)])
        assert machine.look(clock) == pytest.approx(jump)
        assert machine.awake - clock.born(arrived) == pytest.approx(1.0, abs=0.01)


def test_what_came_before_is_older_by_the_clock_of_then_alone() -> None:
    """A message that an operator held for three days, and lets go after a jump."""
    for jumps in ([YEAR], [-YEAR], [-50 * YEAR, 50 * YEAR], [YEAR, -2 * YEAR, YEAR]):
        machine = Machine()
        clock = WallClock(machine.wall, machine.awake)
        for jump in jumps:
            machine.live([("wait", DAY), ("jump", jump), ("wait", 1.0)])
            machine.look(clock)
        lived = machine.awake - 1000.0
        assert machine.awake - clock.born(NOW - 3 * DAY) == pytest.approx(3 * DAY + lived)


def test_the_memory_for_jumps_is_bounded() -> None:
    machine = Machine()
    clock = WallClock(machine.wall, machine.awake)
    for _ in range(1000):
        machine.live([("wait", 1.0), ("jump", DAY)])
        machine.look(clock)
    assert len(clock._past) < 100
    assert machine.awake - clock.born(NOW) <= 1001 * DAY


@given(st.floats(1.0, 50 * YEAR), PAUSES, STEPS, STEPS)
def test_a_message_from_the_future_ages_from_its_first_attempt(
    ahead: float, tried: float, waiting: Steps, steps: Steps
) -> None:
    """The clock was ahead when it arrived; the attempt was a former queue manager's."""
    machine = Machine()
    arrived, first = machine.wall + ahead, machine.wall - tried
    birth = WallClock(machine.wall, machine.awake).born(arrived)
    assert birth > machine.awake
    waited = machine.live(waiting)
    now = machine.awake
    birth = settled(birth, now, arrived, first)
    if waited < arrived - NOW:  # else its arrival has come meanwhile, and counts
        assert now - birth == pytest.approx(tried + waited, abs=0.01)
    age = now - birth + machine.live(steps)
    assert settled(birth, machine.awake, arrived, machine.wall) == birth
    assert machine.awake - birth == pytest.approx(age, abs=0.01)


@given(st.floats(0, 2**40), st.floats(0, 2**40), st.floats(0, 1e9), st.floats(0, 2**40))
def test_nothing_is_younger_than_nothing(
    arrived: float, wall: float, awake: float, tried: float
) -> None:
    """Times on a file are gossip."""
    birth = WallClock(wall, awake).born(arrived)
    for attempt in (None, tried):
        assert awake - settled(birth, awake, arrived, attempt) >= 0.0


def test_a_message_from_the_future_that_was_never_tried_is_new() -> None:
    birth = WallClock(NOW, 1000.0).born(NOW + YEAR)
    assert settled(birth, 1500.0, NOW + YEAR, None) == 1500.0


@pytest.mark.parametrize(
    ("steps", "jump"),
    [
        ([("wait", 60.0)], 0.0),
        ([("wait", 60.0), ("jump", 9.0)], 0.0),  # a drift
        ([("wait", 60.0), ("jump", 11.0)], 11.0),
        ([("jump", -3600.0), ("wait", 60.0)], -3600.0),
        ([("jump", 10 * YEAR)], 10 * YEAR),
        ([("jump", -YEAR), ("wait", 60.0), ("jump", YEAR)], 0.0),  # nobody saw it
        ([("sleep", 7 * DAY)], 7 * DAY),
    ],
)
def test_a_jump_is_told_once(steps: Steps, jump: float) -> None:
    machine = Machine()
    clock = WallClock(machine.wall, machine.awake)
    machine.live(steps)
    assert machine.look(clock) == pytest.approx(jump)
    machine.live([("wait", 60.0)])
    assert machine.look(clock) == 0.0
