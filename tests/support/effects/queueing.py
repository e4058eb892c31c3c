"""What the queue manager does: the real handler or a part of it, with an agent of this loop."""

import asyncio
import contextlib
import os
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from mta.config.parameters import Parameters
from mta.daemons.qmgr.__main__ import QmgrHandler
from mta.daemons.qmgr.message import Attempt, Postpone
from mta.daemons.qmgr.transport import Suspended, transports_of
from mta.daemons.rewrite.handler import RewriteHandler
from mta.ipc.messages import Deliver, DeliverRecipient, Outcome, Outcomes
from mta.ipc.server import RequestServer
from mta.proto.envelope import Envelope
from mta.proto.status import Disposition, MailError, Status
from mta.queue.store import QueueStore
from support.effects.scene import Scene
from support.ipc import Listening
from support.queue_files import enqueue, make_envelope

__all__ = [
    "a_file_that_nobody_told_of",
    "a_silent_agent",
    "deliveries_at_first",
    "deliveries_at_once",
    "failures_until_suspended",
    "fate_at_age",
    "messages_at_work",
    "pause_at_age",
    "requests_for_three_recipients",
    "told_at_age",
]

_MANY: Final = 60  # requests to one destination
_DEFERRED: Final = Status(450, "4.2.1", "mailbox busy")
_SENT: Final = Status(250, "2.0.0", "delivered")
_DOWN: Final = Status(451, "4.4.1", "connection refused")


class _Agent:
    """The delivery agent of the row virtual; it takes `seconds` for each request, or for ever."""

    def __init__(self, scene: Scene, seconds: float | None, status: Status = _SENT) -> None:
        self.requests = 0
        self.most = 0  # at once
        self.asked = asyncio.Event()
        self._at_work = 0
        self._seconds = seconds
        self._status = status
        server: RequestServer[Deliver] = RequestServer(
            Deliver, scene.journal.log, lambda: None, self._answer
        )
        self._listening = Listening(
            scene.folder / "private/virtual",
            lambda client, finished: server.connect(client, "", finished),
        )

    async def _answer(self, request: Deliver, _: tuple[int, ...]) -> Outcomes:
        self.requests += 1
        self._at_work += 1
        self.most = max(self.most, self._at_work)
        self.asked.set()
        if self._seconds is None:
            await asyncio.Event().wait()
        await asyncio.sleep(self._seconds or 0)
        self._at_work -= 1
        kind = Disposition.DELIVERED if self._status is _SENT else Disposition.DEFERRED
        outcomes = (Outcome(to.index, kind, self._status, "mx.test") for to in request.recipients)
        return Outcomes(tuple(outcomes), unreachable=self._status is _DOWN)

    def close(self) -> None:
        self._listening.close()


# Destinations


def _request() -> Deliver:
    to = (DeliverRecipient(0, "bob@x.test", ""),)
    return Deliver("B" * 22, "a@example.org", to, "x.test", 0.0, 0, 0)


@contextlib.asynccontextmanager
async def _transport(
    scene: Scene, agent: _Agent
) -> AsyncIterator[Callable[[], "asyncio.Task[Outcomes]"]]:
    """Begins deliveries by the row virtual to one destination."""
    loop = asyncio.get_running_loop()
    transport = transports_of(scene.snapshot, scene.parameters, loop, scene.journal.log)["virtual"]
    descriptor = os.open(os.devnull, os.O_RDONLY)
    tasks: list[asyncio.Task[Outcomes]] = []

    def begin() -> "asyncio.Task[Outcomes]":
        tasks.append(asyncio.ensure_future(transport.deliver(_request(), descriptor)))
        return tasks[-1]

    try:
        yield begin
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        transport.close()
        os.close(descriptor)
        agent.close()


def deliveries_at_first(scene: Scene) -> int:
    """How many deliveries begin at once to a destination of which nothing is known."""

    async def scenario() -> int:
        agent = _Agent(scene, None)
        async with _transport(scene, agent) as begin:
            for _ in range(_MANY):
                begin()
            await asyncio.sleep(1)
            return agent.most

    return scene.play_in_no_time(scenario())


def deliveries_at_once(scene: Scene) -> int:
    """How many there come to be at most while all succeed."""

    async def scenario() -> int:
        agent = _Agent(scene, 1)
        async with _transport(scene, agent) as begin:
            await asyncio.gather(*(begin() for _ in range(_MANY * 2)))
            return agent.most

    return scene.play_in_no_time(scenario())


def failures_until_suspended(scene: Scene) -> int:
    """How many failures in a row it takes to leave a destination alone."""

    async def scenario() -> int:
        agent = _Agent(scene, 0, _DOWN)
        async with _transport(scene, agent) as begin:
            with contextlib.suppress(Suspended):
                while agent.requests < _MANY:
                    await begin()
            return agent.requests

    return scene.play_in_no_time(scenario())


def a_silent_agent(scene: Scene) -> int:
    """After how many seconds an agent is given up that does not answer."""

    async def scenario() -> int:
        agent = _Agent(scene, None)
        async with _transport(scene, agent) as begin:
            since = asyncio.get_running_loop().time()
            with contextlib.suppress(MailError):
                await begin()
            return round(asyncio.get_running_loop().time() - since)

    return scene.play_in_no_time(scenario())


# The whole


@contextlib.contextmanager
def _own_limits() -> Iterator[None]:
    """The queue manager raises its limit of open files: here that is the test's."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextlib.asynccontextmanager
async def _house(scene: Scene) -> AsyncIterator[_Agent]:
    """The agent of a queue manager that works; it never answers."""
    rewrite = RewriteHandler(scene.context("virtual"))
    listening = Listening(
        scene.folder / "private/rewrite",
        lambda client, finished: rewrite.connect(client, "", finished),
    )
    agent = _Agent(scene, None)
    handler = QmgrHandler(scene.context("qmgr"))
    with _own_limits():
        await handler.start()
        try:
            yield agent
        finally:
            await handler.stop()  # when the agent has been given up
            agent.close()
            listening.close()


def _requests(scene: Scene, *envelopes: Envelope) -> int:
    """How many requests the agent has in hand when these messages have arrived."""

    async def scenario() -> int:
        async with _house(scene) as agent:
            await asyncio.sleep(10)
            return agent.requests

    with scene.queue() as store:
        for envelope in envelopes:
            enqueue(store, envelope=envelope)
        return scene.play_in_no_time(scenario())


def messages_at_work(scene: Scene) -> int:
    """How many of three messages are worked on at once."""
    return _requests(scene, *(make_envelope(1) for _ in range(3)))


def requests_for_three_recipients(scene: Scene) -> int:
    """How many requests one message makes that has three recipients at one destination."""
    return _requests(scene, make_envelope(3))


def a_file_that_nobody_told_of(scene: Scene) -> int:
    """After how many seconds a message is found of which no notification came."""

    async def scenario(store: QueueStore) -> int:
        async with _house(scene) as agent:
            await asyncio.sleep(1)
            enqueue(store, envelope=make_envelope(1))
            since = asyncio.get_running_loop().time()
            await agent.asked.wait()
            return 1 + round(asyncio.get_running_loop().time() - since)

    with scene.queue() as store:
        return scene.play_in_no_time(scenario(store))


# One message


def _tried(sender: str = "sender@example.org") -> Attempt:
    """A message whose recipient was put off just now."""
    envelope = make_envelope(1)
    attempt = Attempt(
        Envelope(sender, envelope.recipients, envelope.origin, envelope.arrived, body_8bit=False),
        {},
    )
    attempt.note(0.0, [Outcome(0, Disposition.DEFERRED, _DEFERRED, "mx.test")])
    return attempt


def pause_at_age(age: float) -> Callable[[Scene], float]:
    """The seconds from one attempt to the next."""

    def look(scene: Scene) -> float:
        verdict = _tried().verdict(age, scene.parameters)
        assert isinstance(verdict, Postpone)
        return verdict.pause

    return look


def fate_at_age(age: float, sender: str = "sender@example.org") -> Callable[[Scene], str]:
    """Whether the message is given up."""

    def look(scene: Scene) -> str:
        return "given up" if _tried(sender).expire(age, scene.parameters) else "kept"

    return look


def told_at_age(age: float) -> Callable[[Scene], str]:
    """What its sender is told."""

    def look(scene: Scene) -> str:
        parameters: Parameters = scene.parameters
        owed = _tried().owed(age, parameters)
        return owed.name if owed else "nothing"

    return look
