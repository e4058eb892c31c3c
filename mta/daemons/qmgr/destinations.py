"""Deliveries by destination: whose turn it is, how many at once, and who is left alone.

The law: the destinations of a transport take turns. Each has a window, the deliveries to it at
once; as in Postfix a session that begins widens it by one, and one that cannot be begun narrows it
by one. A cohort of failures in a row, as many as the window is wide, suspends the destination: for
a while nothing is tried, and what waits or arrives has the reason at once; then one delivery at a
time probes, until a session begins. Destinations that are not proven, by a session begun since
the last failure, have half of the transport's places together, and their second places when
nobody else needs any: many dead or slow ones never hold up the living. Pure: the clock is an
argument, in seconds.
"""

from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

from msgspec import Struct

from mta.proto.status import Status

__all__ = ["Limits", "Turns"]

KNOWN_LIMIT: Final = 10_000  # destinations without work of which a transport remembers something

Job = TypeVar("Job")


class Limits(Struct, frozen=True):
    """What bounds the deliveries of one transport."""

    transport: int  # deliveries at once, to all destinations
    destination: int  # the widest window
    initial: int  # the window of a destination of which nothing is known
    failed_cohorts: int  # in a row, until a destination is suspended
    suspension: float  # seconds
    memory: float  # seconds until a destination without work is forgotten


class _Destination(Generic[Job]):
    """The deliveries to one nexthop, and what they taught."""

    __slots__ = ("busy", "failed", "reached", "reason", "ring", "until", "waiting", "window")

    def __init__(self, window: int) -> None:
        self.waiting: deque[Job] = deque()
        self.busy = 0
        self.window = window
        self.reached = False  # a session was begun since it was first tried, or last suspended
        self.failed = 0.0  # cohorts, since a session was begun
        self.reason: Status | None = None  # why it is suspended, or only probed
        self.until = 0.0  # the end of its suspension
        self.ring: _Ring[Job] | None = None  # where it waits for its turn

    @property
    def proven(self) -> bool:
        """Whether the last attempt to begin a session succeeded, as far as is known."""
        return self.reached and not self.failed

    @property
    def is_full(self) -> bool:
        """Whether it may have no further delivery now; while it is probed, one is enough."""
        return self.busy >= (self.window if self.reason is None else 1)


_Ring = OrderedDict[str, _Destination[Job]]


class Turns(Generic[Job]):
    """The deliveries of one transport: who waits, who is next, who is under way.

    A job is `put`, then begun by `take`, unless `failed` returns it first; what `take` began ends
    with `done`, and before that, if it is known whether a session began, `succeeded` or `failed`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._initial = min(limits.initial, limits.destination)
        self._share = limits.transport // 2  # of those that are not proven
        self._busy = 0
        self._unproven = 0  # deliveries under way to destinations that are not proven
        self._destinations: dict[str, _Destination[Job]] = {}
        self._idle: OrderedDict[str, float] = OrderedDict()  # known, without work, since when
        # Those that may have another delivery: one ring each has, by what is known of it.
        self._living: _Ring[Job] = OrderedDict()
        self._untried: _Ring[Job] = OrderedDict()  # not proven, and nothing under way
        self._doubtful: _Ring[Job] = OrderedDict()  # not proven, and something under way
        self._untried_next = False

    def put(self, nexthop: str, job: Job, now: float) -> Status | None:
        """Let a delivery wait for its turn; or refuse it: the reason of the suspension."""
        self._forget(now)
        destination = self._destinations.get(nexthop)
        if destination is None:
            destination = self._destinations[nexthop] = _Destination(self._initial)
        elif destination.reason is not None and now < destination.until:
            if nexthop in self._idle:
                self._rest(nexthop, now)
            return destination.reason
        else:
            self._idle.pop(nexthop, None)
        destination.waiting.append(job)
        self._enter(nexthop, destination)
        return None

    def take(self) -> tuple[str, Job] | None:
        """Begin the next delivery; None while every place is taken or nothing may begin."""
        if self._busy >= self._limits.transport:
            return None
        ring = self._next_ring()
        if ring is None:
            return None
        nexthop, destination = ring.popitem(last=False)
        destination.ring = None
        job = destination.waiting.popleft()
        destination.busy += 1
        self._busy += 1
        if not destination.proven:
            self._unproven += 1
        self._enter(nexthop, destination)
        return nexthop, job

    def succeeded(self, nexthop: str) -> bool:
        """A delivery under way began a session; whether that ends a suspension."""
        destination = self._destinations[nexthop]
        resumed = destination.reason is not None
        was_proven = destination.proven
        if resumed:
            destination.reason = None
            destination.window = self._initial
        elif destination.window < self._limits.destination:
            destination.window += 1
        destination.reached = True
        destination.failed = 0.0
        if not was_proven:
            self._unproven -= destination.busy
        return resumed

    def failed(self, nexthop: str, reason: Status, now: float) -> list[Job] | None:
        """A delivery under way could begin no session.

        None, or the jobs that waited, which are refused: the destination is suspended from now on.
        """
        destination = self._destinations[nexthop]
        if destination.reason is not None:
            # The probe; or one that began before the suspension and tells nothing new.
            return None if now < destination.until else self._suspend(nexthop, reason, now)
        # Where no session ever began, a cohort is what was tried at once: who never answered is
        # left alone after the first round, while a chance failure of who did must not defer mail.
        cohort = destination.window
        if not destination.reached:
            cohort = min(cohort, destination.busy)
        if destination.proven:
            self._unproven += destination.busy
        destination.failed += 1 / cohort
        destination.window = max(1, destination.window - 1)
        if destination.failed < self._limits.failed_cohorts:
            return None
        return self._suspend(nexthop, reason, now)

    def done(self, nexthop: str, now: float) -> None:
        """End a delivery that `take` began, whatever came of it."""
        destination = self._destinations[nexthop]
        destination.busy -= 1
        self._busy -= 1
        if not destination.proven:
            self._unproven -= 1
        if destination.waiting:
            self._enter(nexthop, destination)
        elif not destination.busy:
            if destination.reached or destination.failed or destination.reason is not None:
                destination.window = min(destination.window, self._initial)
                self._rest(nexthop, now)
            else:
                del self._destinations[nexthop]

    def probe(self) -> None:
        """End all suspensions: the next delivery to each is tried, whatever became of the last."""
        for destination in self._destinations.values():
            destination.until = 0.0

    # Rings

    def _next_ring(self) -> _Ring[Job] | None:
        """The ring whose first destination is next."""
        below_share = self._unproven < self._share
        untried = bool(self._untried) and (below_share or not self._unproven)
        if untried and (self._untried_next or not self._living):
            self._untried_next = False
            return self._untried
        if self._living:
            self._untried_next = True
            return self._living
        # One that has all the unproven deliveries is alone: nobody needs the other half.
        if self._doubtful and (below_share or self._first_doubtful.busy == self._unproven):
            return self._doubtful
        return None

    @property
    def _first_doubtful(self) -> _Destination[Job]:
        return next(iter(self._doubtful.values()))

    def _enter(self, nexthop: str, destination: _Destination[Job]) -> None:
        """Put a destination into the ring where it belongs now; it keeps its place there."""
        ring = self._ring_of(destination)
        if ring is destination.ring:
            return
        if destination.ring is not None:
            del destination.ring[nexthop]
        destination.ring = ring
        if ring is not None:
            ring[nexthop] = destination

    def _ring_of(self, destination: _Destination[Job]) -> _Ring[Job] | None:
        if not destination.waiting or destination.is_full:
            return None
        if destination.proven:
            return self._living
        return self._doubtful if destination.busy else self._untried

    # Memory

    def _suspend(self, nexthop: str, reason: Status, now: float) -> list[Job]:
        destination = self._destinations[nexthop]
        destination.reason = reason
        destination.until = now + self._limits.suspension
        destination.reached = False
        destination.failed = 0.0
        refused = list(destination.waiting)
        destination.waiting.clear()
        self._enter(nexthop, destination)
        return refused

    def _rest(self, nexthop: str, now: float) -> None:
        self._idle[nexthop] = now
        self._idle.move_to_end(nexthop)
        if len(self._idle) > KNOWN_LIMIT:
            del self._destinations[self._idle.popitem(last=False)[0]]

    def _forget(self, now: float) -> None:
        while self._idle:
            nexthop = next(iter(self._idle))
            if now < self._idle[nexthop] + self._limits.memory:
                return
            del self._idle[nexthop]
            del self._destinations[nexthop]
