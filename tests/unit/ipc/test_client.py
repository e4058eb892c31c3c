"""Requests that share a connection, against servers that leave, die, hang and talk nonsense."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.ipc import Journal, Listening, RawPeer, blind, out_of_descriptors, soon

from mta.ipc.client import ServiceClient, Unavailable, connect
from mta.ipc.messages import (
    DomainClass,
    Goodbye,
    Refused,
    Resolve,
    Resolved,
    RewriteReply,
    RewriteRequest,
)
from mta.proto.status import MailError, Status

BUSY = Status(450, "4.2.0", "busy")


def route(address: str) -> Resolved:
    return Resolved(address, DomainClass.DEFAULT, "", "")


class Stage:
    """A listener whose clients are played by the test, and the client under test."""

    def __init__(self, path: Path, journal: Journal, timeout: float) -> None:
        self.peers: asyncio.Queue[RawPeer] = asyncio.Queue()
        self.path = path
        self.client = ServiceClient[Resolved](
            str(path), RewriteReply, asyncio.get_running_loop(), timeout, journal.log
        )

    def take(self, peer: socket.socket, _: Callable[[], None]) -> RawPeer:
        raw = RawPeer(peer)
        self.peers.put_nowait(raw)
        return raw

    def ask(self, address: str, *, idempotent: bool = True) -> "asyncio.Task[Resolved]":
        return asyncio.create_task(self.client.request(Resolve(address), idempotent=idempotent))

    async def server(self) -> RawPeer:
        """The next connection as its server sees it."""
        return await asyncio.wait_for(self.peers.get(), 10)

    async def answer(self, peer: RawPeer) -> int:
        """Answer the next request on a connection."""
        number, request = await peer.hear(RewriteRequest)
        peer.send(number, route(request.address))
        return number


Scenario = Callable[[Stage], Coroutine[Any, Any, None]]
Play = Callable[..., None]


@pytest.fixture
def play(loop: asyncio.AbstractEventLoop, journal: Journal, short_path: Path) -> Play:
    @asynccontextmanager
    async def stage(patience: float) -> AsyncIterator[Stage]:
        stage = Stage(short_path / "socket", journal, patience)
        listening = Listening(stage.path, stage.take)
        try:
            yield stage
        finally:
            stage.client.close()
            listening.close()

    def play(scenario: Scenario, timeout: float = 10.0) -> None:
        async def run() -> None:
            async with stage(timeout) as it:
                await scenario(it)

        loop.run_until_complete(run())

    return play


def test_answers_out_of_order_reach_their_askers(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        first, second = stage.ask("1@b"), stage.ask("2@b")
        peer = await stage.server()
        one, _ = await peer.hear(RewriteRequest)
        two, _ = await peer.hear(RewriteRequest)
        peer.send(two, route("2@b"))
        peer.send(one, Refused(BUSY, "why"))
        assert (await second).address == "2@b"
        with pytest.raises(MailError) as caught:
            await first
        assert (caught.value.status, caught.value.reason) == (BUSY, "why")
        assert stage.peers.empty()

    play(scenario)


def test_nobody_listens(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.path = str(stage.path) + "-not"
        with pytest.raises(Unavailable, match="No such file") as caught:
            await stage.ask("a@b")
        assert str(caught.value.status) == "451 4.3.0 Internal service unavailable"
        abandoned = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        abandoned.bind(stage.client.path)
        abandoned.close()
        with pytest.raises(Unavailable, match="refused"):
            await stage.ask("a@b")

    play(scenario)


def test_full_backlog_is_waited_for(
    loop: asyncio.AbstractEventLoop, journal: Journal, short_path: Path
) -> None:
    path = str(short_path / "socket")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(0)
    filler = connect(path)
    assert filler is not None
    assert connect(path) is None

    async def scenario() -> None:
        client = ServiceClient[Resolved](path, RewriteReply, loop, 10, journal.log)
        asking = loop.create_task(client.request(Resolve("a@b"), idempotent=True))
        await asyncio.sleep(0)
        listener.accept()[0].close()
        listener.setblocking(False)
        there = asyncio.Event()
        loop.add_reader(listener, there.set)
        await there.wait()
        loop.remove_reader(listener)
        peer = RawPeer(listener.accept()[0])
        number, _ = await peer.hear(RewriteRequest)
        peer.send(number, route("a@b"))
        assert (await asking).address == "a@b"
        client.close()
        peer.abort()

    loop.run_until_complete(scenario())
    listener.close()
    filler.close()


def test_full_backlog_until_the_deadline(
    loop: asyncio.AbstractEventLoop, journal: Journal, short_path: Path
) -> None:
    path = str(short_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(0)
        filler = connect(path)
        assert filler is not None
        client = ServiceClient[Resolved](path, RewriteReply, loop, 0.1, journal.log)
        with pytest.raises(Unavailable, match=r"no answer within 0\.1 s"):
            loop.run_until_complete(client.request(Resolve("a@b"), idempotent=True))
        client.close()
        filler.close()


def test_goodbye_moves_what_the_server_has_not_looked_at(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asked = [stage.ask(f"{n}@b", idempotent=False) for n in range(4)]
        old = await stage.server()
        first, _ = await old.hear(RewriteRequest)
        second, _ = await old.hear(RewriteRequest)
        old.send(0, Goodbye(second))
        new = await stage.server()
        assert [(await new.hear(RewriteRequest))[1].address for _ in (2, 3)] == ["2@b", "3@b"]
        old.send(second, route("1@b"))
        old.send(first, route("0@b"))
        assert [(await task).address for task in asked[:2]] == ["0@b", "1@b"]
        assert [await old.hear_raw() for _ in range(3)][2] == b""  # both tails, then our close
        new.send(2, route("3@b"))
        new.send(1, route("2@b"))
        assert [(await task).address for task in asked[2:]] == ["2@b", "3@b"]

    play(scenario)


def test_goodbye_while_idle_opens_a_new_connection(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(3):
            asking = stage.ask("a@b", idempotent=False)
            peer = await stage.server()
            number = await stage.answer(peer)
            await asking
            peer.send(0, Goodbye(number))
            assert await peer.hear_raw() == b""

    play(scenario)


def test_goodbye_and_close_before_the_request_was_read(play: Play) -> None:
    """The kernel reports a reset before the Goodbye; the request is moved all the same."""

    async def scenario(stage: Stage) -> None:
        asking = stage.ask("a@b", idempotent=False)
        peer = await stage.server()
        peer.send(0, Goodbye(0))
        peer.abort()
        await stage.answer(await stage.server())
        assert (await asking).address == "a@b"

    play(scenario)


def test_servers_that_only_say_goodbye_do_not_make_the_client_spin(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask("a@b")
        goodbyes = 0
        while not asking.done():
            await asyncio.wait(
                {asking, found := asyncio.ensure_future(stage.server())},
                return_when=asyncio.FIRST_COMPLETED,
            )
            if found.done():
                goodbyes += 1
                with suppress(BrokenPipeError):  # the deadline came first
                    found.result().send(0, Goodbye(0))
            else:
                found.cancel()
        with pytest.raises(Unavailable):
            await asking
        assert 1 < goodbyes <= 30

    play(scenario, timeout=0.2)


def test_dying_server_idempotent_request_is_retried_once(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask("a@b")
        first = await stage.server()
        await first.hear(RewriteRequest)
        first.abort()
        await stage.answer(await stage.server())
        assert (await asking).address == "a@b"

    play(scenario)


def test_second_death_fails_the_request(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask("a@b")
        for _ in range(2):
            peer = await stage.server()
            await peer.hear(RewriteRequest)
            peer.abort()
        with pytest.raises(Unavailable, match="lost"):
            await asking

    play(scenario)


def test_dying_server_other_request_fails(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask("a@b", idempotent=False)
        peer = await stage.server()
        await peer.hear(RewriteRequest)
        peer.abort()
        with pytest.raises(Unavailable, match="lost"):
            await asking
        asking = stage.ask("a@b")
        await stage.answer(await stage.server())
        await asking

    play(scenario)


def test_connection_found_dead_while_sending_costs_nothing(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask("a@b")
        peer = await stage.server()
        await stage.answer(peer)
        await asking
        peer.abort()
        asking = stage.ask("a@b", idempotent=False)  # before the loop has seen the end of file
        await stage.answer(await stage.server())
        await asking

    play(scenario)


def test_silence_until_the_deadline_leaves_the_connection(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(Unavailable, match=r"no answer within 0\.1 s"):
            await stage.ask("a@b")
        wedged = await stage.server()
        asking = stage.ask("a@b")
        await stage.answer(await stage.server())
        await asking
        await wedged.hear(RewriteRequest)
        assert await wedged.hear_raw() == b""

    play(scenario, timeout=0.1)


def test_cancelled_request_leaves_the_others_alone(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        first, second = stage.ask("1@b"), stage.ask("2@b")
        peer = await stage.server()
        first.cancel()
        await stage.answer(peer)
        await stage.answer(peer)
        assert (await second).address == "2@b"
        assert first.cancelled()

    play(scenario)


@pytest.mark.parametrize("number", [0, 2, 99])
def test_answer_to_an_unknown_number_closes(play: Play, journal: Journal, number: int) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask("a@b", idempotent=False)
        peer = await stage.server()
        await peer.hear(RewriteRequest)
        peer.send(number, route("x@y"))
        with pytest.raises(Unavailable):
            await asking
        assert await peer.hear_raw() == b""

    play(scenario)
    assert "unknown number" in journal.events("ipc_malformed")[0]["reason"]


def test_a_thousand_requests_through_a_full_socket(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asked = [stage.ask(f"{n}@b.test") for n in range(1000)]
        peer = await stage.server()
        await asyncio.sleep(0.01)
        for _ in asked:
            await stage.answer(peer)
            await asyncio.sleep(0)
        assert [(await task).address for task in asked] == [f"{n}@b.test" for n in range(1000)]
        assert stage.peers.empty()

    play(scenario)


def test_notifications_are_dropped_rather_than_waited_for(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        sent = 0
        while stage.client.notify(Resolve(f"{sent}@b")):
            sent += 1
            assert sent < 100_000
        assert not stage.client.notify(Resolve("x@b"))
        peer = await stage.server()
        assert (await peer.hear(RewriteRequest))[0] == 1
        peer.abort()
        await soon(lambda: stage.client.notify(Resolve("y@b")))

    play(scenario)


def test_notifications_wait_for_a_busy_server(play: Play) -> None:
    """A burst of mail must not wait for the queue manager's next scan."""

    async def scenario(stage: Stage) -> None:
        for number in range(1000):
            assert stage.client.notify(Resolve(f"{number}@b"))
        peer = await stage.server()
        heard = [(await peer.hear(RewriteRequest))[1].address for _ in range(1000)]
        assert heard == [f"{number}@b" for number in range(1000)]

    play(scenario)


def test_notification_without_a_listener_is_said_and_lost(play: Play, journal: Journal) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.path = str(stage.path) + "-not"
        assert not stage.client.notify(Resolve("a@b"))

    play(scenario)
    assert journal.events("ipc_unavailable")


def test_request_that_cannot_be_sent_fails_alone(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        first, monstrous, last = stage.ask("1@b"), stage.ask("x" * 70_000), stage.ask("2@b")
        peer = await stage.server()
        await stage.answer(peer)
        await stage.answer(peer)
        assert [(await first).address, (await last).address] == ["1@b", "2@b"]
        with pytest.raises(ValueError, match="a frame of"):
            await monstrous

    play(scenario)


def test_without_a_socket_a_request_is_refused_and_the_next_one_goes(
    play: Play, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(stage: Stage) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", out_of_descriptors)
            with pytest.raises(Unavailable, match="Too many open files"):
                await stage.ask("a@b")
            assert not stage.client.notify(Resolve("a@b"))
        await served(stage)

    play(scenario)
    assert journal.events("ipc_unavailable")


def test_what_the_loop_cannot_watch_is_refused_and_the_next_one_goes(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        loop = stage.client.loop
        stage.client.loop = blind(loop)
        with pytest.raises(Unavailable, match="Too many open files"):
            await stage.ask("a@b")
        assert await (await stage.server()).hear_raw() == b""
        stage.client.loop = loop
        await served(stage)

    play(scenario)


async def served(stage: Stage) -> None:
    asking = stage.ask("a@b")
    peer = await stage.server()
    number, _ = await peer.hear(RewriteRequest)
    peer.send(number, route("a@b"))
    assert await asking == route("a@b")
