"""Ages by a simulated machine: its wall clock jumps, it sleeps, and queue managers come and go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.daemons.qmgr.ages import Jumps, born, settled

DAY = 86400.0
YEAR = 365 * DAY
NOW = 1_790_000_000.0

Steps = list[tuple[str, float]]
JUMPS = st.floats(-50 * YEAR, 50 * YEAR)
PAUSES = st.floats(0.0, 10 * DAY)
# wait: awake; sleep: the wall clock alone goes on; jump: it is set
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), PAUSES),
        st.tuples(st.just("sleep"), PAUSES),
        st.tuples(st.just("jump"), JUMPS),
    ),
    max_size=10,
)


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


@given(STEPS)
def test_no_jump_and_no_sleep_ages_a_message_that_arrived_before(steps: Steps) -> None:
    machine = Machine()
    birth = born(machine.wall - DAY, machine.wall, machine.awake)
    lived = machine.live(steps)
    birth = settled(birth, machine.awake, NOW - DAY, None)
    assert machine.awake - birth == pytest.approx(DAY + lived, abs=0.01)


@given(STEPS, STEPS)
def test_a_message_that_arrives_between_two_jumps_ages_from_then(
    before: Steps, after: Steps
) -> None:
    machine = Machine()
    machine.live(before)
    arrived = machine.wall
    birth = born(arrived, machine.wall, machine.awake)
    lived = machine.live(after)
    birth = settled(birth, machine.awake, arrived, machine.wall)
    assert machine.awake - birth == pytest.approx(lived, abs=0.01)


@given(st.floats(1.0, 50 * YEAR), PAUSES, STEPS, STEPS)
def test_a_message_from_the_future_ages_from_its_first_attempt(
    ahead: float, tried: float, waiting: Steps, steps: Steps
) -> None:
    """The clock was ahead when it arrived; the attempt was a former queue manager's."""
    machine = Machine()
    arrived, first = machine.wall + ahead, machine.wall - tried
    birth = born(arrived, machine.wall, machine.awake)
    assert birth > machine.awake
    waited = machine.live(waiting)
    now = machine.awake
    birth = settled(birth, now, arrived, first)
    if waited < ahead:  # else its arrival has come meanwhile, and counts
        assert now - birth == pytest.approx(tried + waited, abs=0.01)
    age = now - birth + machine.live(steps)
    assert settled(birth, machine.awake, arrived, machine.wall) == birth
    assert machine.awake - birth == pytest.approx(age, abs=0.01)


@given(st.floats(0, 2**40), st.floats(0, 2**40), st.floats(0, 1e9), st.floats(0, 2**40))
def test_nothing_is_younger_than_nothing(
    arrived: float, wall: float, awake: float, tried: float
) -> None:
    """Times on a file are gossip."""
    for attempt in (None, tried):
        assert awake - settled(born(arrived, wall, awake), awake, arrived, attempt) >= 0.0


def test_a_message_from_the_future_that_was_never_tried_is_new() -> None:
    birth = born(NOW + YEAR, NOW, 1000.0)
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
    jumps = Jumps(machine.wall, machine.awake)
    machine.live(steps)
    assert jumps.look(machine.wall, machine.awake) == pytest.approx(jump)
    machine.live([("wait", 60.0)])
    assert jumps.look(machine.wall, machine.awake) == 0.0
