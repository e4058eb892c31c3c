"""The cache: what is kept, for how long, and how much of it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from mta.daemons.resolver.cache import Cache, Found, Request
from mta.ipc.messages import FindAddresses, FindMailHosts, HostAddresses

A, B, C = (FindAddresses(name) for name in "abc")


class Names:
    """What the cache asks: each look-up is counted, and may be held up or fail."""

    def __init__(self, lifetime: float = 100.0) -> None:
        self.asked: list[Request] = []
        self.lifetime = lifetime
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.failure: Exception | None = None

    async def look_up(self, request: Request) -> Found:
        self.asked.append(request)
        await self.go_on.wait()
        if self.failure:
            raise self.failure
        expires = asyncio.get_running_loop().time() + self.lifetime
        return Found(HostAddresses(("192.0.2.1",)), expires)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_least_recently_used_is_forgotten() -> None:
    async def scenario() -> None:
        names = Names()
        cache = Cache(asyncio.get_running_loop(), names.look_up, limit=2)
        for request in (A, B, A, C, A, B):
            await cache.find(request)
        assert names.asked == [A, B, C, B]
        assert cache.known(A)
        assert cache.known(B)
        assert cache.known(C) is None

    run(scenario())


def test_expired_is_not_known() -> None:
    async def scenario() -> None:
        names = Names(lifetime=0.0)
        cache = Cache(asyncio.get_running_loop(), names.look_up)
        for _ in range(2):
            assert (await cache.find(A)).reply == HostAddresses(("192.0.2.1",))
            assert cache.known(A) is None
        assert names.asked == [A, A]

    run(scenario())


def test_requests_of_two_kinds_are_two() -> None:
    async def scenario() -> None:
        names = Names()
        cache = Cache(asyncio.get_running_loop(), names.look_up)
        await cache.find(FindAddresses("a"))
        assert cache.known(FindMailHosts("a")) is None

    run(scenario())


def test_waiters_share_one_look_up_and_may_leave() -> None:
    async def scenario() -> None:
        names = Names()
        names.go_on.clear()
        cache = Cache(asyncio.get_running_loop(), names.look_up)
        hasty, patient = (asyncio.ensure_future(cache.find(A)) for _ in range(2))
        await asyncio.sleep(0)
        hasty.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hasty
        names.go_on.set()
        assert (await patient).reply == HostAddresses(("192.0.2.1",))
        assert names.asked == [A]
        assert cache.known(A)

    run(scenario())


def test_a_fault_is_told_to_all_and_not_kept() -> None:
    async def scenario() -> None:
        names = Names()
        names.go_on.clear()
        names.failure = RuntimeError("a fault")
        cache = Cache(asyncio.get_running_loop(), names.look_up)
        waiting = [asyncio.ensure_future(cache.find(A)) for _ in range(3)]
        await asyncio.sleep(0)
        names.go_on.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, RuntimeError) for result in results)
        names.failure = None
        assert await cache.find(A)
        assert names.asked == [A, A]

    run(scenario())
