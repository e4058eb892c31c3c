"""What a client of a request server sees."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.ipc import Journal, Listening, RawPeer, soon

from mta.ipc.connection import Descriptors
from mta.ipc.messages import (
    Accepted,
    Arrived,
    CleanupReply,
    CleanupRequest,
    Committed,
    Deliver,
    DeliverRecipient,
    DeliveryReply,
    DeliveryRequest,
    DomainClass,
    Flush,
    Goodbye,
    Message,
    More,
    Outcomes,
    QmgrReply,
    QmgrRequest,
    Refused,
    Resolve,
    Resolved,
    RewriteReply,
    RewriteRequest,
)
from mta.ipc.server import Answer, RequestServer, ServerConnection
from mta.proto.status import MailError, Status

ROUTE = Resolved("a@b.test", DomainClass.DEFAULT, "", "b.test")
BUSY = Status(450, "4.2.0", "busy")


class Gate:
    """Answers that wait until they are let through."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def answer(self, request: Resolve, _: Descriptors) -> Resolved:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        await future
        return ROUTE


class Scene:
    """A server on a socket and its clients, for one test."""

    def __init__(self, loop: asyncio.AbstractEventLoop, journal: Journal, path: Path) -> None:
        self.loop = loop
        self.journal = journal
        self.path = path
        self.used = 0

    def count(self) -> None:
        self.used += 1

    def play(
        self,
        answer: Answer[Resolve],
        scenario: Callable[[Listening, RawPeer], object],
        *,
        concurrency: int = 64,
    ) -> Listening:
        return self.play_server(
            RequestServer(
                RewriteRequest, self.journal.log, self.count, answer, concurrency=concurrency
            ),
            scenario,
        )

    def play_server(
        self,
        server: RequestServer[Message] | RequestServer[Resolve],
        scenario: Callable[[Listening, RawPeer], object],
    ) -> Listening:
        async def run() -> Listening:
            listening = Listening(
                self.path, lambda client, finished: server.connect(client, "ipc:x", finished)
            )
            peer = RawPeer.connect(listening.path)
            try:
                await soon(lambda: listening.sessions)
                await scenario(listening, peer)  # type: ignore[misc]
            finally:
                peer.abort()
                listening.close()
                await asyncio.sleep(0)
            return listening

        return self.loop.run_until_complete(run())


@pytest.fixture
def scene(loop: asyncio.AbstractEventLoop, journal: Journal, short_path: Path) -> Scene:
    return Scene(loop, journal, short_path / "socket")


def session(listening: Listening) -> ServerConnection[Resolve]:
    [found] = listening.sessions
    assert isinstance(found, ServerConnection)
    return found


def refusing(error: Exception) -> Answer[Resolve]:
    def answer(request: Resolve, _: Descriptors) -> Message:
        raise error

    return answer


def refusing_later(error: Exception) -> Answer[Resolve]:
    async def answer(request: Resolve, _: Descriptors) -> Message:
        await asyncio.sleep(0)
        raise error

    return answer


def test_each_number_gets_its_answer(scene: Scene) -> None:
    def answer(request: Resolve, _: Descriptors) -> Resolved:
        return Resolved(request.address, DomainClass.DEFAULT, "", "")

    async def scenario(_: Listening, peer: RawPeer) -> None:
        for number in (1, 2, 7):
            peer.send(number, Resolve(f"{number}@b.test"))
        for number in (1, 2, 7):
            heard, reply = await peer.hear(RewriteReply)
            assert (heard, reply.address) == (number, f"{number}@b.test")

    scene.play(answer, scenario)
    assert scene.used == 3


@pytest.mark.parametrize("refuse", [refusing, refusing_later])
def test_mail_error_is_a_refusal(
    scene: Scene, refuse: Callable[[Exception], Answer[Resolve]]
) -> None:
    async def scenario(_: Listening, peer: RawPeer) -> None:
        peer.send(1, Resolve("a@b.test"))
        assert await peer.hear(RewriteReply) == (1, Refused(BUSY, "r" * 1024))

    scene.play(refuse(MailError(BUSY, "r" * 5000)), scenario)
    assert not scene.journal.events("internal_error")


@pytest.mark.parametrize("refuse", [refusing, refusing_later])
def test_unforeseen_error_is_temporary_and_logged(
    scene: Scene, refuse: Callable[[Exception], Answer[Resolve]]
) -> None:
    async def scenario(_: Listening, peer: RawPeer) -> None:
        for number in (1, 2):
            peer.send(number, Resolve("a@b.test"))
            heard, reply = await peer.hear(RewriteReply)
            assert heard == number
            assert isinstance(reply, Refused)
            assert (reply.status.code, reply.status.enhanced) == (451, "4.3.0")

    scene.play(refuse(KeyError("story")), scenario)
    lines = scene.journal.events("internal_error")
    assert len(lines) == 2
    assert "KeyError" in lines[0]["traceback"]


def test_answer_that_cannot_be_sent_closes_the_connection(scene: Scene) -> None:
    async def answer(request: Resolve, _: Descriptors) -> Message:
        await asyncio.sleep(0)
        return Refused(BUSY, "x" * 100_000)

    async def scenario(listening: Listening, peer: RawPeer) -> None:
        peer.send(1, Resolve("a@b.test"))
        assert await peer.hear_raw() == b""
        assert listening.finished == 1

    scene.play(answer, scenario)
    assert scene.journal.events("internal_error")


def test_no_answer_at_all_is_an_error(scene: Scene) -> None:
    async def scenario(_: Listening, peer: RawPeer) -> None:
        peer.send(1, Resolve("a@b.test"))
        assert isinstance((await peer.hear(RewriteReply))[1], Refused)

    scene.play(lambda *_: None, scenario)


def test_goodbye_names_the_last_number_and_those_in_hand_are_answered(scene: Scene) -> None:
    gate = Gate()

    async def scenario(listening: Listening, peer: RawPeer) -> None:
        peer.send(1, Resolve("a@b.test"))
        peer.send(2, Resolve("a@b.test"))
        await soon(lambda: len(gate.waiting) == 2)
        session(listening).retire()
        session(listening).retire()
        assert await peer.hear(RewriteReply) == (0, Goodbye(2))
        peer.send(3, Resolve("a@b.test"))
        gate.waiting[1].set_result(None)
        assert (await peer.hear(RewriteReply))[0] == 2
        assert listening.finished == 0
        gate.waiting[0].set_result(None)
        assert (await peer.hear(RewriteReply))[0] == 1
        assert await peer.hear_raw() == b""
        assert listening.finished == 1

    scene.play(gate.answer, scenario)
    assert len(gate.waiting) == 2
    assert scene.used == 2


@pytest.mark.parametrize("order", ["retire", "expire"])
def test_idle_connection_gets_goodbye_and_closes(scene: Scene, order: str) -> None:
    async def scenario(listening: Listening, peer: RawPeer) -> None:
        assert session(listening).idle
        getattr(session(listening), order)()
        assert listening.finished == 1
        assert await peer.hear(RewriteReply) == (0, Goodbye(0))
        assert await peer.hear_raw() == b""

    scene.play(lambda *_: ROUTE, scenario)


def test_abort_cancels_what_is_in_hand(scene: Scene) -> None:
    gate = Gate()

    async def scenario(listening: Listening, peer: RawPeer) -> None:
        peer.send(1, Resolve("a@b.test"))
        await soon(lambda: gate.waiting)
        assert not session(listening).idle
        session(listening).abort()
        await soon(lambda: listening.finished == 1)
        assert gate.waiting[0].cancelled()
        assert await peer.hear_raw() == b""

    scene.play(gate.answer, scenario)


def test_work_outlives_its_client(scene: Scene) -> None:
    """A delivery cannot be taken back: the session ends when it has been done."""
    gate = Gate()

    async def scenario(listening: Listening, peer: RawPeer) -> None:
        peer.send(1, Resolve("a@b.test"))
        await soon(lambda: gate.waiting)
        peer.abort()
        await asyncio.sleep(0.02)
        assert listening.finished == 0
        assert not gate.waiting[0].cancelled()
        gate.waiting[0].set_result(None)
        await soon(lambda: listening.finished == 1)

    scene.play(gate.answer, scenario)


def test_no_more_than_the_concurrency_is_in_hand(scene: Scene) -> None:
    gate = Gate()

    async def scenario(_: Listening, peer: RawPeer) -> None:
        for number in range(1, 6):
            peer.send(number, Resolve("a@b.test"))
        await soon(lambda: len(gate.waiting) == 2)
        await asyncio.sleep(0.02)
        for done in range(5):
            assert len(gate.waiting) == min(done + 2, 5)
            gate.waiting[done].set_result(None)
            assert (await peer.hear(RewriteReply))[0] == done + 1
            expected = min(done + 3, 5)
            await soon(lambda expected=expected: len(gate.waiting) == expected)  # type: ignore[misc]

    scene.play(gate.answer, scenario, concurrency=2)


def test_a_client_that_does_not_read_is_not_read_from(scene: Scene) -> None:
    asked = 0

    def answer(request: Resolve, _: Descriptors) -> Refused:
        nonlocal asked
        asked += 1
        return Refused(BUSY, "x" * 1000)

    async def scenario(_: Listening, peer: RawPeer) -> None:
        sent = 0
        while sent < 3000:
            try:
                peer.send(sent + 1, Resolve("a@b.test"))
                sent += 1
            except BlockingIOError:
                before = asked
                await asyncio.sleep(0.02)
                if asked == before:
                    break
        assert asked < sent < 3000
        for number in range(1, sent + 1):
            assert (await peer.hear(RewriteReply))[0] == number

    scene.play(answer, scenario)


@pytest.mark.parametrize("numbers", [(0,), (1, 1)])
def test_numbers_that_break_the_protocol(scene: Scene, numbers: tuple[int, ...]) -> None:
    gate = Gate()

    async def scenario(listening: Listening, peer: RawPeer) -> None:
        for number in numbers:
            peer.send(number, Resolve("a@b.test"))
        assert await peer.hear_raw() == b""
        for future in gate.waiting:
            future.set_result(None)
        await soon(lambda: listening.finished == 1)

    scene.play(gate.answer, scenario)
    assert scene.journal.events("ipc_malformed")


def test_notification_is_never_answered(
    loop: asyncio.AbstractEventLoop, journal: Journal, scene: Scene
) -> None:
    def answer(request: Message, _: Descriptors) -> Message:
        if isinstance(request, Arrived):
            raise MailError(BUSY)
        return Accepted(3)

    async def scenario(_: Listening, peer: RawPeer) -> None:
        peer.send(1, Arrived(("B" * 22,)))
        peer.send(2, Flush())
        assert await peer.hear(QmgrReply) == (2, Accepted(3))

    scene.play_server(
        RequestServer[Message](QmgrRequest, journal.log, scene.count, answer), scenario
    )


def test_descriptor_stays_open_until_the_reply(journal: Journal, scene: Scene) -> None:
    seen: list[int] = []
    request = Deliver(
        "B" * 22, "", (DeliverRecipient(0, "a@b.test", "a@b.test"),), "b.test", 0.0, 0, 0
    )

    async def answer(_: Message, descriptors: Descriptors) -> Message:
        [descriptor] = descriptors
        seen.append(descriptor)
        await asyncio.sleep(0)
        os.fstat(descriptor)
        return Outcomes(())

    async def scenario(_: Listening, peer: RawPeer) -> None:
        reader, writer = os.pipe()
        peer.send(1, request, (reader,))
        os.close(reader)
        assert (await peer.hear(DeliveryReply))[0] == 1
        await asyncio.sleep(0)
        with pytest.raises(BrokenPipeError):  # the last reader is gone
            os.write(writer, b"x")
        os.close(writer)

    scene.play_server(
        RequestServer[Message](DeliveryRequest, journal.log, scene.count, answer), scenario
    )
    assert seen


class Conversational(ServerConnection[Message]):
    """Commits at the last frame; refuses a frame that says so; breaks on one that says so."""

    gone = False

    def begun(self, number: int, request: Message, descriptors: Descriptors) -> None:
        self.continued(number, request, descriptors)

    def continued(self, number: int, request: Message, descriptors: Descriptors) -> None:
        assert isinstance(request, More)
        if request.content == b"break":
            raise ZeroDivisionError
        if request.content == b"refuse":
            self.reply(number, Refused(BUSY))
        elif request.last:
            self.reply(number, Committed("B" * 22))

    def ended(self) -> None:
        self.gone = True
        for number in list(self.open_numbers):
            self.finish(number)


@pytest.fixture
def conversation(scene: Scene) -> Callable[[Callable[[Listening, RawPeer], object]], Listening]:
    class Server(RequestServer[Message]):
        def connect(
            self, client: socket.socket, listener: str, finished: Callable[[], None]
        ) -> ServerConnection[Message]:
            return Conversational(
                client,
                CleanupRequest,
                log=scene.journal.log,
                used=scene.count,
                finished=finished,
            )

    server = Server(CleanupRequest, scene.journal.log, scene.count, lambda *_: None)
    return lambda scenario: scene.play_server(server, scenario)


Play = Callable[[Callable[[Listening, RawPeer], object]], Listening]


def test_a_conversation_of_several_frames(conversation: Play, scene: Scene) -> None:
    async def scenario(listening: Listening, peer: RawPeer) -> None:
        for number in (1, 2):
            peer.send(number, More((), b"a", False))
            peer.send(number, More((), b"b", False))
            peer.send(number, More((), b"c", True))
            assert await peer.hear(CleanupReply) == (number, Committed("B" * 22))
        peer.send(3, More((), b"a", False))
        await soon(lambda: not session(listening).idle)
        session(listening).retire()
        assert await peer.hear(CleanupReply) == (0, Goodbye(3))
        peer.send(3, More((), b"b", True))
        assert await peer.hear(CleanupReply) == (3, Committed("B" * 22))
        assert await peer.hear_raw() == b""

    conversation(scenario)
    assert scene.used == 3


def test_the_tail_of_a_refused_conversation_is_dropped(conversation: Play) -> None:
    async def scenario(_: Listening, peer: RawPeer) -> None:
        peer.send(1, More((), b"refuse", False))
        peer.send(1, More((), b"tail", False))
        peer.send(1, More((), b"tail", True))
        peer.send(2, More((), b"next", True))
        assert await peer.hear(CleanupReply) == (1, Refused(BUSY))
        assert await peer.hear(CleanupReply) == (2, Committed("B" * 22))

    conversation(scenario)


def test_two_conversations_at_once_are_malformed(conversation: Play, scene: Scene) -> None:
    async def scenario(listening: Listening, peer: RawPeer) -> None:
        peer.send(1, More((), b"a", False))
        peer.send(2, More((), b"a", False))
        assert await peer.hear_raw() == b""
        assert listening.finished == 1

    conversation(scenario)
    assert scene.journal.events("ipc_malformed")


def test_an_exception_costs_its_connection_only(conversation: Play, scene: Scene) -> None:
    async def scenario(listening: Listening, peer: RawPeer) -> None:
        peer.send(1, More((), b"break", False))
        assert await peer.hear_raw() == b""
        assert listening.finished == 1
        other = RawPeer.connect(listening.path)
        other.send(1, More((), b"a", True))
        assert await other.hear(CleanupReply) == (1, Committed("B" * 22))
        other.abort()

    conversation(scenario)
    assert "ZeroDivisionError" in scene.journal.events("internal_error")[0]["traceback"]


def test_a_client_gone_in_the_middle_ends_the_session(conversation: Play) -> None:
    async def scenario(listening: Listening, peer: RawPeer) -> None:
        peer.send(1, More((), b"a", False))
        await soon(lambda: not session(listening).idle)
        peer.abort()
        await soon(lambda: listening.finished == 1)
        [found] = listening.sessions
        assert isinstance(found, Conversational)
        assert found.gone

    conversation(scenario)
