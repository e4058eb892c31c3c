"""What an agent's answer teaches about its destination, and who waits for whom."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from support.ipc import Journal, soon

from mta.daemons.qmgr.destinations import Limits
from mta.daemons.qmgr.transport import Suspended, Transport
from mta.ipc.client import RequestLost, Unavailable
from mta.ipc.delivery import DeliveryClient
from mta.ipc.messages import Deliver, DeliverRecipient, Outcome, Outcomes
from mta.proto.status import Disposition, MailError, Status

SENT = Outcome(0, Disposition.DELIVERED, Status(250, "2.0.0", "ok"), "mx.test")
BUSY = Outcome(0, Disposition.DEFERRED, Status(450, "4.2.1", "mailbox busy"), "mx.test")
NEVER = Outcome(0, Disposition.BOUNCED, Status(550, "5.1.1", "unknown"), "mx.test")
DOWN = Outcome(0, Disposition.DEFERRED, Status(451, "4.4.1", "connection timed out"), "none")
SUSPENDED = Status(451, "4.4.1", "delivery temporarily suspended: connection timed out")
UNREACHABLE = Outcomes((DOWN,), unreachable=True)


class ScriptedClient(DeliveryClient):
    """Answers each request when the test says what."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, asyncio.Future[Outcomes]]] = []

    async def deliver(self, request: Deliver, descriptor: int) -> Outcomes:
        answer: asyncio.Future[Outcomes] = asyncio.get_running_loop().create_future()
        self.requests.append((request.nexthop, answer))
        return await answer


def request(nexthop: str = "x.test") -> Deliver:
    return Deliver("B" * 22, "", (DeliverRecipient(0, "a@x.test", ""),), nexthop, 0.0, 0, 0)


class Row:
    """A transport with a single place a destination, and its log."""

    def __init__(self, journal: Journal) -> None:
        self.client = ScriptedClient()
        limits = Limits(10, 1, 1, 1, suspension=300.0, memory=600.0)
        self.transport = Transport("smtp", self.client, limits, journal.log)
        self.events = journal.events

    async def send(self, nexthop: str = "x.test") -> "asyncio.Task[Outcomes]":
        """A request that has taken its place, or waits."""
        task = asyncio.ensure_future(self.transport.deliver(request(nexthop), 0))
        for _ in range(3):
            await asyncio.sleep(0)
        return task

    def answer(self, reply: Outcomes | Exception) -> None:
        """Answer the request under way that came last."""
        future = self.client.requests[-1][1]
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)


@pytest.fixture
def row() -> Iterator[Row]:
    journal = Journal()
    yield Row(journal)
    journal.close()


def play(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


@pytest.mark.parametrize(
    ("reply", "suspends"),
    [
        (UNREACHABLE, True),
        (Outcomes((BUSY, DOWN), unreachable=True), True),
        (Outcomes((SENT,)), False),
        (Outcomes((BUSY,)), False),  # a session was begun: the destination lives
        (Outcomes((NEVER,)), False),
        (Outcomes((DOWN,)), False),  # the agent's word alone counts
        (Outcomes(()), False),
        (Outcomes((), unreachable=True), False),  # without a reason nothing is remembered
        (Outcomes((DOWN, SENT), unreachable=True), False),  # a contradiction
        (Outcomes((NEVER,), unreachable=True), False),
        (MailError(Status(451, "4.3.0", "refused")), False),  # an agent's trouble is not the host's
        (Unavailable("no answer"), False),
        (RequestLost("it died"), False),
    ],
)
def test_what_suspends_a_destination(row: Row, reply: Outcomes | Exception, suspends: bool) -> None:
    async def scenario() -> None:
        first, second = await row.send(), await row.send()
        row.answer(reply)
        (given,) = await asyncio.gather(first, return_exceptions=True)
        assert given == reply
        if suspends:
            with pytest.raises(Suspended) as waited:
                await second
            with pytest.raises(Suspended) as arrived:
                await row.transport.deliver(request(), 0)
            assert waited.value.status == arrived.value.status
            assert waited.value.status.text.startswith("delivery temporarily suspended: ")
        else:
            await soon(lambda: len(row.client.requests) == 2)
            row.answer(Outcomes((SENT,)))
            await second
        assert len(row.events("suspended")) == suspends

    play(scenario())


def test_the_operator_learns_of_a_suspension_and_of_its_end(row: Row) -> None:
    async def scenario() -> None:
        first, waiting = await row.send(), await row.send()
        row.answer(UNREACHABLE)
        await asyncio.gather(first, waiting, return_exceptions=True)
        (line,) = row.events("suspended")
        assert (line["transport"], line["destination"]) == ("smtp", "x.test")
        assert (line["reason"], line["waiting"]) == ("451 4.4.1 connection timed out", 1)
        assert line["until"] - line["time"] == pytest.approx(300, abs=1)
        row.transport.probe()
        probe = await row.send()
        row.answer(Outcomes((SENT,)))
        await probe
        (line,) = row.events("resumed")
        assert (line["transport"], line["destination"]) == ("smtp", "x.test")

    play(scenario())


def test_a_suspension_concerns_one_destination(row: Row) -> None:
    async def scenario() -> None:
        first = await row.send()
        row.answer(UNREACHABLE)
        await first
        with pytest.raises(Suspended) as caught:
            await row.transport.deliver(request(), 0)
        assert caught.value.status == SUSPENDED
        other = await row.send("y.test")
        row.answer(Outcomes((SENT,)))
        assert await other == Outcomes((SENT,))

    play(scenario())


def test_a_long_reason_still_fits_a_status(row: Row) -> None:
    async def scenario() -> None:
        first = await row.send()
        why = Status(451, "4.4.1", "x" * 512)
        row.answer(Outcomes((Outcome(0, Disposition.DEFERRED, why, ""),), unreachable=True))
        await first
        with pytest.raises(Suspended) as caught:
            await row.transport.deliver(request(), 0)
        assert len(caught.value.status.text) == 512

    play(scenario())


def test_who_waits_when_the_queue_manager_retires_is_lost(row: Row) -> None:
    async def scenario() -> None:
        first, second = await row.send(), await row.send()
        row.transport.close()
        row.answer(Outcomes((SENT,)))
        assert await first == Outcomes((SENT,))
        with pytest.raises(RequestLost, match="retires"):
            await second

    play(scenario())


def test_a_cancelled_request_gives_its_turn_to_the_next(row: Row) -> None:
    async def scenario() -> None:
        first, second, third = [await row.send() for _ in range(3)]
        second.cancel()
        row.answer(Outcomes((SENT,)))
        await first
        await soon(lambda: len(row.client.requests) == 2)
        row.answer(Outcomes((SENT,)))
        assert await third == Outcomes((SENT,))

    play(scenario())
