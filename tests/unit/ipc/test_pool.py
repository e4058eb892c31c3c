"""Conversations: one at a time on a connection, through servers that leave and die."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from support.ipc import Journal, Listening, RawPeer, blind, out_of_descriptors, soon

from mta.ipc import pool as pool_module
from mta.ipc.client import RequestLost, Unavailable
from mta.ipc.messages import (
    CONTENT_LIMIT,
    CleanupReply,
    CleanupRequest,
    Committed,
    Goodbye,
    Message,
    More,
    Refused,
)
from mta.ipc.pool import Conversation, ConversationPool
from mta.proto.status import MailError, Status

BUSY = Status(450, "4.2.0", "busy")
DONE = Committed("B" * 22)
LAST = More((), b"", True)
BLOCK = More((), b"x" * CONTENT_LIMIT, False)


class Stage:
    """A listener whose clients are played by the test, and the pool under test."""

    def __init__(self, path: Path, journal: Journal, patience: float, limit: int) -> None:
        self.peers: asyncio.Queue[RawPeer] = asyncio.Queue()
        self.path = path
        self.pool = ConversationPool[Committed](
            str(path), CleanupReply, asyncio.get_running_loop(), patience, journal.log, limit=limit
        )

    def take(self, peer: socket.socket, _: Callable[[], None]) -> RawPeer:
        raw = RawPeer(peer)
        self.peers.put_nowait(raw)
        return raw

    def ask(self, *bodies: Message) -> "asyncio.Task[Committed]":
        """Say these, and await the reply."""

        async def exchange() -> Committed:
            conversation = self.pool.conversation()
            for body in bodies:
                await conversation.send(body)
            return await conversation.reply()

        return asyncio.create_task(exchange())

    async def server(self) -> RawPeer:
        return await asyncio.wait_for(self.peers.get(), 10)

    async def answer(self, peer: RawPeer) -> None:
        number, _ = await peer.hear(CleanupRequest)
        peer.send(number, DONE)

    async def one(self, peer: RawPeer | None = None) -> RawPeer:
        """A whole conversation, on that connection or on a new one."""
        asking = self.ask(LAST)
        found = peer or await self.server()
        await self.answer(found)
        assert await asking == DONE
        return found


Scenario = Callable[[Stage], Coroutine[Any, Any, None]]
Play = Callable[..., None]


@pytest.fixture
def play(loop: asyncio.AbstractEventLoop, journal: Journal, short_path: Path) -> Play:
    def play(scenario: Scenario, timeout: float = 10.0, limit: int = 100) -> None:
        async def run() -> None:
            stage = Stage(short_path / "socket", journal, timeout, limit)
            listening = Listening(stage.path, stage.take)
            try:
                await scenario(stage)
            finally:
                stage.pool.close()
                listening.close()

        loop.run_until_complete(run())

    return play


def test_connection_is_used_again(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        peer = await stage.one()
        await stage.one(peer)
        await stage.one(peer)
        assert stage.peers.empty()

    play(scenario)


def test_two_at_once_have_two_connections(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        first, second = stage.ask(LAST), stage.ask(LAST)
        one, two = await stage.server(), await stage.server()
        await stage.answer(two)
        assert await second == DONE
        await stage.answer(one)
        assert await first == DONE

    play(scenario)


def test_limit_is_kept(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asked = [stage.ask(LAST) for _ in range(3)]
        peers = [await stage.server(), await stage.server()]
        await asyncio.sleep(0.02)
        assert stage.peers.empty()
        await stage.answer(peers[1])
        await stage.answer(peers[1])
        await stage.answer(peers[0])
        assert await asyncio.gather(*asked) == [DONE] * 3

    play(scenario, limit=2)


@pytest.mark.parametrize("farewell", [True, False])
def test_dead_connection_is_not_used_again(play: Play, farewell: bool) -> None:
    async def scenario(stage: Stage) -> None:
        peer = await stage.one()
        if farewell:
            peer.send(0, Goodbye(1))
        peer.abort()
        await stage.one()  # before the loop has seen the end

    play(scenario)


def test_goodbye_without_a_look_moves_the_whole_conversation(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        old = await stage.one()
        asking = stage.ask(BLOCK, BLOCK, LAST)
        for _ in range(3):
            await old.hear(CleanupRequest)
        old.send(0, Goodbye(1))
        new = await stage.server()
        heard = [await new.hear(CleanupRequest) for _ in range(3)]
        assert [body for _, body in heard] == [BLOCK, BLOCK, LAST]
        assert len({number for number, _ in heard}) == 1
        new.send(heard[0][0], DONE)
        assert await asking == DONE
        assert await old.hear_raw() == b""

    play(scenario)


def test_goodbye_between_two_frames_moves_too(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        conversation = stage.pool.conversation()
        await conversation.send(BLOCK)
        old = await stage.server()
        await old.hear(CleanupRequest)
        old.send(0, Goodbye(0))
        old.abort()
        await asyncio.sleep(0.01)
        await conversation.send(LAST)
        new = await stage.server()
        assert [(await new.hear(CleanupRequest))[1] for _ in range(2)] == [BLOCK, LAST]
        new.send(conversation.number, DONE)
        assert await conversation.reply() == DONE

    play(scenario)


def test_goodbye_after_a_look_lets_it_finish(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        conversation = stage.pool.conversation()
        await conversation.send(BLOCK)
        peer = await stage.server()
        number, _ = await peer.hear(CleanupRequest)
        peer.send(0, Goodbye(number))
        await conversation.send(LAST)
        assert await peer.hear(CleanupRequest) == (number, LAST)
        peer.send(number, DONE)
        assert await conversation.reply() == DONE
        await stage.one()  # on a new connection
        assert await peer.hear_raw() == b""

    play(scenario)


def test_what_is_too_much_to_keep_is_lost_not_moved(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask(*[BLOCK] * 12, LAST)
        peer = await stage.server()
        for _ in range(13):
            await peer.hear(CleanupRequest)
        peer.send(0, Goodbye(0))
        with pytest.raises(RequestLost):
            await asking

    play(scenario)


def test_one_goodbye_after_another_ends(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask(LAST)
        for _ in range(pool_module.MOVES_LIMIT + 1):
            (await stage.server()).send(0, Goodbye(0))
        with pytest.raises(Unavailable, match="Goodbye"):
            await asking

    play(scenario)


def test_dying_server_loses_the_conversation(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask(LAST)
        peer = await stage.server()
        await peer.hear(CleanupRequest)
        peer.abort()
        with pytest.raises(RequestLost):
            await asking
        await stage.one()

    play(scenario)


def test_early_refusal_is_noticed_and_the_connection_goes_on(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        conversation = stage.pool.conversation()
        await conversation.send(BLOCK)
        peer = await stage.server()
        number, _ = await peer.hear(CleanupRequest)
        peer.send(number, Refused(BUSY))
        await soon(lambda: conversation.is_over)
        await conversation.send(LAST)
        with pytest.raises(MailError) as caught:
            await conversation.reply()
        assert caught.value.status == BUSY
        await stage.one(peer)

    play(scenario)


def test_nobody_listens(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        os.rename(stage.path, str(stage.path) + "-away")
        with pytest.raises(Unavailable, match="No such file"):
            await stage.ask(BLOCK, LAST)
        os.rename(str(stage.path) + "-away", stage.path)
        await stage.one()

    play(scenario)


def test_no_answer_in_time(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(Unavailable, match=r"no answer within 0\.1 s"):
            await stage.ask(LAST)
        peer = await stage.server()
        await peer.hear(CleanupRequest)
        assert await peer.hear_raw() == b""

    play(scenario, timeout=0.1)


def test_server_that_does_not_read(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        conversation = stage.pool.conversation()
        sent = 0
        while not conversation.is_over:
            await conversation.send(BLOCK)
            sent += 1
            assert sent < 100
        with pytest.raises(Unavailable, match="does not read"):
            await conversation.reply()

    play(scenario, timeout=0.1)


@pytest.mark.parametrize("stolen", [0, 1, 5])
def test_answer_to_an_unknown_number(play: Play, journal: Journal, stolen: int) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask(LAST)
        peer = await stage.server()
        number, _ = await peer.hear(CleanupRequest)
        peer.send(number + 1 + stolen, DONE)
        with pytest.raises(Unavailable, match="malformed"):
            await asking

    play(scenario)
    assert journal.events("ipc_malformed")


def test_answer_that_nobody_asked_for_closes_an_idle_connection(
    play: Play, journal: Journal
) -> None:
    async def scenario(stage: Stage) -> None:
        peer = await stage.one()
        peer.send(2, DONE)
        await stage.one()
        assert await peer.hear_raw() == b""

    play(scenario)
    assert journal.events("ipc_malformed")


@pytest.mark.parametrize("where", ["attached", "waiting"])
def test_cancelled_conversation_gives_up_its_connection(play: Play, where: str) -> None:
    async def scenario(stage: Stage) -> None:
        asking = stage.ask(LAST)
        peer = await stage.server()
        other = stage.ask(LAST) if where == "waiting" else asking
        await asyncio.sleep(0)
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
        if where == "waiting":
            await stage.answer(peer)
            assert await asking == DONE
        else:
            await peer.hear(CleanupRequest)
            assert await peer.hear_raw() == b""
        await stage.one(peer if where == "waiting" else None)

    play(scenario, limit=1)


def test_dropped_conversation_ends_its_connection(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        conversation: Conversation[Committed] = stage.pool.conversation()
        await conversation.send(BLOCK)
        peer = await stage.server()
        conversation.drop()
        await peer.hear(CleanupRequest)
        assert await peer.hear_raw() == b""

    play(scenario)


def test_idle_connections_are_given_back(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "IDLE_TIME", 0.02)
    monkeypatch.setattr(pool_module, "IDLE_LIMIT", 2)

    async def scenario(stage: Stage) -> None:
        asked = [stage.ask(LAST) for _ in range(4)]
        peers = [await stage.server() for _ in range(4)]
        for peer in peers:
            await stage.answer(peer)
        await asyncio.gather(*asked)
        for peer in peers:
            assert await peer.hear_raw() == b""
        await stage.one()

    play(scenario)


def test_frame_that_cannot_be_sent_ends_the_conversation(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(ValueError, match="a frame of"):
            await stage.ask(BLOCK, More((), b"x" * 70_000, True))
        peer = await stage.server()
        await peer.hear(CleanupRequest)
        assert await peer.hear_raw() == b""

    play(scenario)


def test_without_a_socket_a_conversation_fails_and_gives_its_place_back(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that nobody gave back was missing until the process ended."""

    async def scenario(stage: Stage) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", out_of_descriptors)
            with pytest.raises(Unavailable, match="Too many open files"):
                await stage.ask(LAST)
        loop = stage.pool.loop
        stage.pool.loop = blind(loop)
        with pytest.raises(Unavailable, match="Too many open files"):
            await stage.ask(LAST)
        assert await (await stage.server()).hear_raw() == b""
        stage.pool.loop = loop
        await stage.one()

    play(scenario, limit=1)
