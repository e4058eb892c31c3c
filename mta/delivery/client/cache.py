"""Sessions without work, kept for the next message to the same place.

The law: a session is kept for a short while, is never used beyond a certain age, and there is a
bound on how many there are; what is not kept, or no longer, ends with QUIT. A session is found by
the nexthop that it served, without asking the DNS again, and by its endpoint, for domains that
share a mail host. The newest is taken first: its server has had the least time to hang up.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from mta.delivery.client.session import Endpoint, Mail, Verdict
from mta.util.deadline import Deadline

__all__ = ["CachedSession", "SessionCache"]

Key = TypeVar("Key")


class CachedSession(Protocol):
    """A `ClientSession`, as far as it is used here."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it goes."""

    @property
    def opened(self) -> float:
        """When it began, in the loop's time."""

    @property
    def tls(self) -> str:
        """How it is encrypted; empty: not at all."""

    @property
    def usable(self) -> bool:
        """Whether it can carry another message."""

    @property
    def lost_at_first(self) -> bool:
        """Whether the last message found the connection dead, before any answer."""

    async def deliver(self, mail: Mail) -> list[Verdict]:
        """Carry one message; one verdict for each recipient, in their order."""

    def close(self) -> None:
        """QUIT, and close."""


class _Kept(Struct, frozen=True):
    session: CachedSession
    nexthop: str
    until: float  # the loop's time


class SessionCache:
    """The kept sessions of one process; all of them are under the same terms."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        time_limit: float,
        reuse_limit: float,
        endpoint_limit: int,
        limit: int,
    ) -> None:
        """Keep a session for `time_limit` seconds, use none that is older than `reuse_limit`.

        At most `endpoint_limit` sessions with one endpoint are kept, and `limit` in all.
        """
        self._loop = loop
        self._time_limit = time_limit
        self._reuse_limit = reuse_limit
        self._endpoint_limit = endpoint_limit
        self._limit = limit
        self._kept: dict[int, _Kept] = {}  # by number, the oldest first
        self._by_nexthop: dict[str, list[int]] = {}
        self._by_endpoint: dict[Endpoint, list[int]] = {}
        self._last = 0
        self._deadline = Deadline(loop, self._end_until)  # of the oldest, or sooner

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, session: CachedSession, nexthop: str = "") -> None:
        """Keep a session for `nexthop`, or for its endpoint alone; or end it.

        Of too many the oldest are ended.
        """
        if self._time_limit <= 0 or not self._is_fit(session):
            session.close()
            return
        self._last += 1
        number = self._last
        until = self._loop.time() + self._time_limit
        if not self._kept:
            self._deadline.set(until)
        self._kept[number] = _Kept(session, nexthop, until)
        if nexthop:
            self._by_nexthop.setdefault(nexthop, []).append(number)
        there = self._by_endpoint.setdefault(session.endpoint, [])
        there.append(number)
        if len(there) > self._endpoint_limit:
            self._end(there[0])
        elif len(self._kept) > self._limit:
            self._end(next(iter(self._kept)))

    def take(self, nexthop: str) -> CachedSession | None:
        """The newest session for a nexthop that still lives."""
        return self._take(self._by_nexthop.get(nexthop, ()))

    def take_at(self, endpoint: Endpoint) -> CachedSession | None:
        """The newest session with an endpoint that still lives."""
        return self._take(self._by_endpoint.get(endpoint, ()))

    def holds(self, endpoint: Endpoint) -> bool:
        """Whether there is a session with that endpoint, alive or not."""
        return endpoint in self._by_endpoint

    def close(self) -> None:
        """End all sessions."""
        for number in tuple(self._kept):
            self._end(number)
        self._deadline.close()

    def _is_fit(self, session: CachedSession) -> bool:
        return session.usable and self._loop.time() - session.opened < self._reuse_limit

    def _take(self, numbers: Sequence[int]) -> CachedSession | None:
        while numbers:  # what is removed is no longer among them
            session = self._remove(numbers[-1])
            if self._is_fit(session):
                return session
            session.close()
        return None

    def _end_until(self, due: float) -> None:
        """End those whose time is over."""
        while self._kept:
            number, oldest = next(iter(self._kept.items()))
            if oldest.until > due:
                self._deadline.set(oldest.until)
                break
            self._end(number)

    def _end(self, number: int) -> None:
        self._remove(number).close()

    def _remove(self, number: int) -> CachedSession:
        kept = self._kept.pop(number)
        _forget(self._by_endpoint, kept.session.endpoint, number)
        if kept.nexthop:
            _forget(self._by_nexthop, kept.nexthop, number)
        return kept.session


def _forget(index: dict[Key, list[int]], key: Key, number: int) -> None:
    index[key].remove(number)
    if not index[key]:
        del index[key]
