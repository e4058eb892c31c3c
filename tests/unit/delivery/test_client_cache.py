"""Sessions that are kept: for whom, for how long, how many, and how they end."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from support.sessions import ScriptedSession

from mta.delivery.client.cache import SessionCache
from mta.delivery.client.session import Endpoint

A = Endpoint("a.test", "192.0.2.1", 25)
B = Endpoint("b.test", "192.0.2.2", 25)


class Clock:
    """A loop's clock and timers, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self._timers: list[tuple[float, asyncio.TimerHandle]] = []

    def time(self) -> float:
        return self.now

    def call_at(
        self, due: float, callback: Callable[..., None], *arguments: object
    ) -> asyncio.TimerHandle:
        loop = cast("asyncio.AbstractEventLoop", self)
        handle = asyncio.TimerHandle(due, callback, list(arguments), loop)
        self._timers.append((due, handle))
        return handle

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """What a handle tells its loop."""

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for due, handle in self._timers:
            if due <= self.now and not handle.cancelled():
                handle._run()
        self._timers = [(due, handle) for due, handle in self._timers if due > self.now]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_cache(
    clock: Clock,
    *,
    time_limit: float = 2.0,
    reuse_limit: float = 300.0,
    endpoint_limit: int = 3,
    limit: int = 5,
) -> SessionCache:
    return SessionCache(
        cast("asyncio.AbstractEventLoop", clock),
        time_limit=time_limit,
        reuse_limit=reuse_limit,
        endpoint_limit=endpoint_limit,
        limit=limit,
    )


def session(clock: Clock, endpoint: Endpoint = A) -> ScriptedSession:
    return ScriptedSession(endpoint, opened=clock.now)


def test_a_session_serves_its_nexthop_again_once(clock: Clock) -> None:
    cache, kept = make_cache(clock), session(clock)
    cache.put(kept, "x.test")
    assert cache.take("y.test") is None
    assert cache.take("x.test") is kept
    assert cache.take("x.test") is None
    assert cache.take_at(A) is None
    clock.advance(10)
    assert kept.closed == 0  # it is the taker's


def test_a_session_is_found_by_its_endpoint(clock: Clock) -> None:
    cache, kept, other = make_cache(clock), session(clock), session(clock, B)
    cache.put(kept, "x.test")
    cache.put(other)
    assert (cache.holds(A), cache.holds(B)) == (True, True)
    assert cache.take_at(A) is kept
    assert cache.take("x.test") is None
    assert not cache.holds(A)
    assert cache.take_at(B) is other


def test_the_newest_is_taken_first(clock: Clock) -> None:
    cache, first, second = make_cache(clock), session(clock), session(clock)
    cache.put(first, "x.test")
    cache.put(second, "x.test")
    assert [cache.take("x.test"), cache.take("x.test")] == [second, first]


def test_a_session_without_work_ends_after_its_time(clock: Clock) -> None:
    cache, kept = make_cache(clock, time_limit=2.0), session(clock)
    cache.put(kept, "x.test")
    clock.advance(1.9)
    assert kept.closed == 0
    clock.advance(0.1)
    assert kept.closed == 1
    assert cache.take("x.test") is None
    assert (len(cache), cache.holds(A)) == (0, False)


def test_the_time_begins_anew_with_each_message(clock: Clock) -> None:
    cache, kept = make_cache(clock, time_limit=2.0), session(clock)
    for _ in range(5):
        cache.put(kept, "x.test")
        clock.advance(1.5)
        assert cache.take("x.test") is kept


def test_each_session_has_its_own_time(clock: Clock) -> None:
    cache, first, second = make_cache(clock, time_limit=2.0), session(clock), session(clock, B)
    cache.put(first, "x.test")
    clock.advance(1.5)
    cache.put(second, "y.test")
    clock.advance(0.5)
    assert (first.closed, second.closed) == (1, 0)
    clock.advance(1.4)
    assert second.closed == 0
    clock.advance(0.1)
    assert second.closed == 1


def test_no_session_is_used_beyond_its_age(clock: Clock) -> None:
    cache, kept = make_cache(clock, time_limit=10.0, reuse_limit=5.0), session(clock)
    cache.put(kept, "x.test")
    clock.advance(5.0)
    assert cache.take("x.test") is None
    assert kept.closed == 1
    old = session(clock)
    clock.advance(5.0)
    cache.put(old, "x.test")
    assert old.closed == 1
    assert len(cache) == 0


@pytest.mark.parametrize("time_limit", [0.0, 2.0])
def test_what_cannot_be_kept_ends_at_once(clock: Clock, time_limit: float) -> None:
    cache, kept = make_cache(clock, time_limit=time_limit), session(clock)
    kept.usable = time_limit == 0.0
    cache.put(kept, "x.test")
    assert kept.closed == 1
    assert len(cache) == 0


def test_what_died_while_it_was_kept_is_passed_over(clock: Clock) -> None:
    cache, living, dead = make_cache(clock), session(clock), session(clock)
    cache.put(living, "x.test")
    cache.put(dead, "x.test")
    dead.usable = False
    assert cache.take("x.test") is living
    assert dead.closed == 1


def test_of_too_many_the_oldest_end(clock: Clock) -> None:
    cache = make_cache(clock, endpoint_limit=2, limit=3)
    at_a = [session(clock) for _ in range(3)]
    for each in at_a:
        cache.put(each, "x.test")
    assert [each.closed for each in at_a] == [1, 0, 0]
    at_b = [session(clock, B) for _ in range(2)]
    for each in at_b:
        cache.put(each, "y.test")
    assert [each.closed for each in (*at_a, *at_b)] == [1, 1, 0, 0, 0]
    assert len(cache) == 3


def test_at_the_end_all_end(clock: Clock) -> None:
    cache, first, second = make_cache(clock), session(clock), session(clock, B)
    cache.put(first, "x.test")
    cache.put(second)
    cache.close()
    assert (first.closed, second.closed, len(cache)) == (1, 1, 0)
    clock.advance(10)
    assert (first.closed, second.closed) == (1, 1)
