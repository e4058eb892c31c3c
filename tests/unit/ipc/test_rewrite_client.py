"""The client of the rewrite service: what it asks for, and services that answer wrong."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ipc import Journal, Listening, RawPeer, Served

from mta.ipc.client import Unavailable
from mta.ipc.messages import (
    AddressRole,
    DomainClass,
    Expand,
    Expanded,
    Message,
    Resolve,
    Resolved,
    Rewrite,
    RewriteRequest,
    Rewritten,
)
from mta.ipc.rewrite import Expansion, RewriteClient

SENDER = AddressRole.ENVELOPE_SENDER
Answer = Callable[[Any], Message]


class Service:
    """A rewrite service that answers as the test says, and keeps what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.asked: list[Message] = []
        self.answer: Answer = self.usual
        self._serving: list[asyncio.Task[None]] = []
        self._listening = Listening(path, self._connect)

    def usual(self, request: Resolve | Rewrite | Expand) -> Message:
        """An answer that repeats the address."""
        match request:
            case Resolve(address=address):
                return Resolved(address, DomainClass.DEFAULT, "smtp", "b.test", 1)
            case Rewrite(address=address):
                return Rewritten(address, 1)
            case Expand(address=address):
                return Expanded((address,), False, 1)

    def _connect(self, client: socket.socket, _: Callable[[], None]) -> Served:
        peer = RawPeer(client)
        self._serving.append(asyncio.ensure_future(self._serve(peer)))
        return peer

    async def _serve(self, peer: RawPeer) -> None:
        while True:
            number, request = await peer.hear(RewriteRequest)
            self.asked.append(request)
            peer.send(number, self.answer(request))

    async def close(self) -> None:
        """End all of it."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        self._listening.close()


@pytest.fixture
def service(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Iterator[Service]:
    async def make() -> Service:
        return Service(tmp_path / "rewrite")

    service = loop.run_until_complete(make())
    yield service
    loop.run_until_complete(service.close())


@pytest.fixture
def client(
    loop: asyncio.AbstractEventLoop, journal: Journal, service: Service
) -> Iterator[RewriteClient]:
    client = RewriteClient(loop, 10, journal.log, service.path)
    yield client
    client.close()


def play(loop: asyncio.AbstractEventLoop, scenario: Coroutine[Any, Any, None]) -> None:
    loop.run_until_complete(asyncio.wait_for(scenario, 20))


def test_each_question_is_remembered_by_itself(
    loop: asyncio.AbstractEventLoop, service: Service, client: RewriteClient
) -> None:
    async def scenario() -> None:
        for _ in range(3):
            await client.resolve("a@b.test")
            await client.resolve("a@b.test", listed=True)
            await client.resolve("a@b.test", sender="s@b.test")
            await client.rewrite("a@b.test", SENDER)
            await client.rewrite("a@b.test", AddressRole.GENERIC)
            assert await client.expand("a@b.test") == Expansion(("a@b.test",), "")
        assert client.known("a@b.test", listed=True) is not None
        assert client.known("a@b.test", sender="t@b.test") is None

    play(loop, scenario())
    assert service.asked == [
        Resolve("a@b.test"),
        Resolve("a@b.test", listed=True),
        Resolve("a@b.test", "s@b.test"),
        Rewrite("a@b.test", SENDER),
        Rewrite("a@b.test", AddressRole.GENERIC),
        Expand("a@b.test"),
    ]


def frames(service: Service, members: list[str], size: int) -> Answer:
    """Answers of expansions in frames of so many."""

    def answer(request: Expand) -> Message:
        page = members[request.first : request.first + size]
        more = request.first + size < len(members)
        return Expanded(tuple(page), more, 1, "copy@b.test")

    return answer


@pytest.mark.parametrize(("count", "is_remembered"), [(50, True), (51, False)])
def test_expansions_of_several_frames(
    loop: asyncio.AbstractEventLoop,
    service: Service,
    client: RewriteClient,
    count: int,
    is_remembered: bool,
) -> None:
    """What is long is not kept: it would be memory for what few messages ask for."""
    members = [f"{number}@b.test" for number in range(count)]
    service.answer = frames(service, members, 20)

    async def scenario() -> None:
        for _ in range(2):
            expansion = await client.expand("all@b.test")
            assert expansion == Expansion(tuple(members), "copy@b.test")

    play(loop, scenario())
    asked = [Expand("all@b.test", first) for first in (0, 20, 40)]
    assert service.asked == asked * (1 if is_remembered else 2)


@pytest.mark.parametrize("first", [0, 2])
def test_a_service_that_never_ends(
    loop: asyncio.AbstractEventLoop, service: Service, client: RewriteClient, first: int
) -> None:
    """A frame without addresses that promises more would be asked for without end."""
    service.answer = lambda request: Expanded(
        ("a@b.test",) * 2 if request.first < first else (), True, 1
    )

    async def scenario() -> None:
        with pytest.raises(Unavailable):
            await client.expand("all@b.test")

    play(loop, scenario())
    assert len(service.asked) == first // 2 + 1


def test_answers_of_another_kind(
    loop: asyncio.AbstractEventLoop, service: Service, client: RewriteClient
) -> None:
    service.answer = lambda request: service.usual(
        Rewrite("a@b.test", SENDER) if isinstance(request, Resolve | Expand) else Expand("a@b.test")
    )

    async def scenario() -> None:
        for question in (
            client.resolve("a@b.test"),
            client.rewrite("a@b.test", SENDER),
            client.expand("a@b.test"),
        ):
            with pytest.raises(Unavailable, match="another kind"):
                await question
        assert client.known("a@b.test") is None

    play(loop, scenario())


def test_questions_do_not_wait_for_each_other(
    loop: asyncio.AbstractEventLoop, service: Service, client: RewriteClient
) -> None:
    """Cleanup asks about many recipients at once; one connection carries them all."""

    async def scenario() -> None:
        addresses = [f"{number}@b.test" for number in range(40)]
        found = await asyncio.gather(*(client.expand(address) for address in addresses))
        assert [each.addresses for each in found] == [(address,) for address in addresses]

    play(loop, scenario())
    assert len(service.asked) == 40
