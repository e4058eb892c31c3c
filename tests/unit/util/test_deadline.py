"""A deadline that moves: its callback comes once, when the moment set last has come."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from mta.util.deadline import Deadline


class Clock:
    """A loop's clock and timers, moved by hand; `timers` are those that were set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(due, callback, (), cast("asyncio.AbstractEventLoop", self))
        self.timers.append(handle)
        return handle

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """What a handle tells its loop."""

    def move(self, now: float) -> None:
        for handle in [each for each in self.timers if self.now < each.when() <= now]:
            self.now = handle.when()
            if not handle.cancelled():
                handle._run()
        self.now = now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(clock: Clock) -> tuple[Deadline, list[tuple[float, float]]]:
    """A deadline, and when it passed for which moment."""
    passed: list[tuple[float, float]] = []
    loop = cast("asyncio.AbstractEventLoop", clock)
    return Deadline(loop, lambda due: passed.append((clock.now, due))), passed


def test_it_passes_once(clock: Clock) -> None:
    deadline, passed = make(clock)
    deadline.set(105.0)
    clock.move(104.0)
    assert passed == []
    clock.move(200.0)
    assert passed == [(105.0, 105.0)]


def test_moved_later_it_passes_only_then_and_costs_no_timer(clock: Clock) -> None:
    deadline, passed = make(clock)
    for due in range(105, 110):
        deadline.set(float(due))
    assert len(clock.timers) == 1
    clock.move(105.0)
    clock.move(108.9)
    assert passed == []
    clock.move(109.0)
    assert passed == [(109.0, 109.0)]
    assert len(clock.timers) == 2


def test_moved_sooner_it_passes_sooner(clock: Clock) -> None:
    deadline, passed = make(clock)
    deadline.set(400.0)
    deadline.set(105.0)
    clock.move(105.0)
    assert passed == [(105.0, 105.0)]
    clock.move(500.0)
    assert len(passed) == 1


def test_it_can_be_set_again_by_what_it_calls(clock: Clock) -> None:
    loop = cast("asyncio.AbstractEventLoop", clock)
    passed: list[float] = []

    def again(due: float) -> None:
        passed.append(due)
        deadline.set(due + 1.0)

    deadline = Deadline(loop, again)
    deadline.set(101.0)
    for now in (101.0, 102.0, 103.0):
        clock.move(now)
    assert passed == [101.0, 102.0, 103.0]


def test_a_clock_that_runs_a_hair_late_makes_no_second_timer(clock: Clock) -> None:
    """uvloop's timers count milliseconds, which are no exact fractions of a second."""
    deadline, passed = make(clock)
    deadline.set(100.3)
    (timer,) = clock.timers
    clock.now = 100.3 - 1e-9
    timer._run()
    assert [due for _, due in passed] == [100.3]
    assert len(clock.timers) == 1


def test_closed_it_leaves_nothing_in_the_loop(clock: Clock) -> None:
    deadline, passed = make(clock)
    deadline.close()
    deadline.set(105.0)
    deadline.close()
    assert all(timer.cancelled() for timer in clock.timers)
    clock.move(200.0)
    assert passed == []
