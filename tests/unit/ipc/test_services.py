"""The client modules: what each says on the wire, and what its caller gets."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ipc import Journal, Listening, RawPeer, soon

from mta.ipc import rewrite as rewrite_module
from mta.ipc.bounce import BounceClient
from mta.ipc.cleanup import CleanupClient, Transaction
from mta.ipc.client import RequestLost, Unavailable
from mta.ipc.connection import encode
from mta.ipc.delivery import DeliveryClient
from mta.ipc.messages import (
    CONTENT_BESIDE_RECIPIENTS,
    CONTENT_LIMIT,
    RECIPIENTS_LIMIT,
    Accepted,
    AddressRole,
    Arrived,
    Begin,
    CleanupRequest,
    Committed,
    Deliver,
    DeliverRecipient,
    Disposition,
    DomainClass,
    Expand,
    Expanded,
    FindAddresses,
    FindMailHosts,
    Flush,
    GiveUp,
    HostAddresses,
    MailHost,
    MailHosts,
    More,
    Outcome,
    Outcomes,
    QmgrRequest,
    Refused,
    Report,
    Reported,
    ReportKind,
    Resolved,
    ResolverRequest,
    Rewrite,
    RewriteRequest,
    Rewritten,
)
from mta.ipc.qmgr import QmgrClient
from mta.ipc.resolver import ResolverClient
from mta.ipc.rewrite import Expansion, RewriteClient
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import MailError, Status

ORIGIN = Origin("ESMTP", "127.0.0.1", 12345, "client.test", "smtp")
QUEUE_ID = "B" * 22
SENT = Status(250, "2.0.0", "delivered")
FULL = Status(452, "4.3.1", "Insufficient system storage")


class Stage:
    """A listener whose clients are played by the test."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.peers: asyncio.Queue[RawPeer] = asyncio.Queue()
        self.listening = Listening(path, self._take)

    def _take(self, peer: socket.socket, _: Callable[[], None]) -> RawPeer:
        raw = RawPeer(peer)
        self.peers.put_nowait(raw)
        return raw

    async def server(self) -> RawPeer:
        return await asyncio.wait_for(self.peers.get(), 10)


@pytest.fixture
def stage(loop: asyncio.AbstractEventLoop, short_path: Path) -> Iterator[Stage]:
    async def make() -> Stage:
        return Stage(short_path / "socket")

    stage = loop.run_until_complete(make())
    yield stage
    stage.listening.close()


def play(loop: asyncio.AbstractEventLoop, scenario: Coroutine[Any, Any, None]) -> None:
    loop.run_until_complete(asyncio.wait_for(scenario, 20))


# rewrite


def test_resolve_remembers_for_a_while(
    loop: asyncio.AbstractEventLoop,
    journal: Journal,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rewrite_module, "CACHE_LIMIT", 2)
    client = RewriteClient(loop, 10, journal.log, stage.path)
    asked: list[str] = []

    async def serve(peer: RawPeer) -> None:
        while True:
            number, request = await peer.hear(RewriteRequest)
            asked.append(request.address)
            route = Resolved(request.address, DomainClass.VIRTUAL, "virtual", "b")
            refusal = Refused(Status(550, "5.1.3", "Bad address syntax"))
            peer.send(number, refusal if request.address == "bad" else route)

    async def scenario() -> None:
        assert client.known("a@b") is None
        first = asyncio.ensure_future(client.resolve("a@b"))
        serving = asyncio.ensure_future(serve(await stage.server()))
        assert (await first).transport == "virtual"
        for address in ("a@b", "c@b", "a@b", "d@b", "a@b"):
            assert (await client.resolve(address)).address == address
        assert client.known("a@b") == await client.resolve("a@b")
        assert asked == ["a@b", "c@b", "d@b"]
        await client.resolve("c@b")  # was used longest ago, so it was forgotten
        assert asked == ["a@b", "c@b", "d@b", "c@b"]
        for _ in range(2):
            with pytest.raises(MailError, match="550"):
                await client.resolve("bad")
        assert asked[4:] == ["bad", "bad"]
        monkeypatch.setattr(rewrite_module, "CACHE_TIME", 0.0)
        await client.resolve("new@b")
        await asyncio.sleep(0.005)
        await client.resolve("new@b")
        assert asked[6:] == ["new@b", "new@b"]
        serving.cancel()
        client.close()

    play(loop, scenario())


def test_another_epoch_drops_what_is_remembered(
    loop: asyncio.AbstractEventLoop,
    journal: Journal,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = RewriteClient(loop, 10, journal.log, stage.path)
    asked: list[object] = []
    epoch = 7

    async def serve(peer: RawPeer) -> None:
        while True:
            number, request = await peer.hear(RewriteRequest)
            asked.append(request)
            if isinstance(request, Rewrite):
                peer.send(number, Rewritten(f"{epoch}@b", epoch))
            else:
                more = isinstance(request, Expand) and request.first < 2
                peer.send(number, Expanded((f"{request.first}@b", "x@b"), more, epoch))

    async def scenario() -> None:
        nonlocal epoch
        pending = asyncio.ensure_future(client.rewrite("a@b", AddressRole.GENERIC))
        serving = asyncio.ensure_future(serve(await stage.server()))
        assert (await pending).address == "7@b"
        assert (await client.rewrite("a@b", AddressRole.GENERIC)).address == "7@b"
        assert (await client.rewrite("a@b", AddressRole.HEADER_SENDER)).address == "7@b"
        assert len(asked) == 2
        assert await client.expand("a@b") == Expansion(("0@b", "x@b", "2@b", "x@b"), "")
        assert await client.expand("a@b") == Expansion(("0@b", "x@b", "2@b", "x@b"), "")
        assert asked[2:] == [Expand("a@b", 0), Expand("a@b", 2)]
        # Within FRESH_TIME nobody sees that the tables have changed; any answer tells.
        epoch = 8
        assert (await client.rewrite("a@b", AddressRole.GENERIC)).address == "7@b"
        await client.rewrite("c@b", AddressRole.GENERIC)
        assert (await client.rewrite("a@b", AddressRole.GENERIC)).address == "8@b"
        assert len(asked) == 6
        # What is older than that is asked for again, though it is remembered.
        monkeypatch.setattr(rewrite_module, "FRESH_TIME", -1.0)
        await client.rewrite("d@b", AddressRole.GENERIC)
        await client.rewrite("d@b", AddressRole.GENERIC)
        assert len(asked) == 8
        # No epoch: there are no tables that could change.
        epoch = 0
        await client.rewrite("d@b", AddressRole.GENERIC)
        await client.rewrite("d@b", AddressRole.GENERIC)
        assert len(asked) == 9
        serving.cancel()
        client.close()

    play(loop, scenario())


def test_an_expansion_is_of_one_epoch(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = RewriteClient(loop, 10, journal.log, stage.path)
    epochs = [1, 2, 2, 2, 3, 4, 4, 5, 5, 6]

    async def serve(peer: RawPeer) -> None:
        while True:
            number, request = await peer.hear(RewriteRequest)
            epoch = epochs.pop(0)
            address = f"{epoch}.{request.first}@b"
            peer.send(number, Expanded((address,), request.first == 0, epoch))

    async def scenario() -> None:
        pending = asyncio.ensure_future(client.expand("a@b"))
        serving = asyncio.ensure_future(serve(await stage.server()))
        assert (await pending).addresses == ("2.0@b", "2.1@b")
        with pytest.raises(Unavailable, match="tables change"):
            await client.expand("c@b")
        assert epochs == []
        serving.cancel()
        client.close()

    play(loop, scenario())


# resolver


def test_names_are_asked_each_time(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = ResolverClient(loop, 10, journal.log, stage.path)
    hosts = MailHosts((MailHost(10, "mx.b.test", ("192.0.2.1", "2001:db8::1")),), implicit=False)
    addresses = HostAddresses(("192.0.2.1",), secure=True)

    async def scenario() -> None:
        asking = asyncio.ensure_future(client.mail_hosts("b.test"))
        peer = await stage.server()
        assert await peer.hear(ResolverRequest) == (1, FindMailHosts("b.test"))
        peer.send(1, hosts)
        assert await asking == hosts
        for number in (2, 3):
            asking_host = asyncio.ensure_future(client.addresses("mx.b.test"))
            assert await peer.hear(ResolverRequest) == (number, FindAddresses("mx.b.test"))
            peer.send(number, addresses)
            assert await asking_host == addresses
        client.close()

    play(loop, scenario())


def test_refusal_of_the_dns_passes_through(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = ResolverClient(loop, 10, journal.log, stage.path)
    status = Status(556, "5.1.10", "Domain b.test does not accept mail (nullMX)")

    async def scenario() -> None:
        asking = asyncio.ensure_future(client.mail_hosts("b.test"))
        peer = await stage.server()
        await peer.hear(ResolverRequest)
        peer.send(1, Refused(status, "of the log"))
        with pytest.raises(MailError) as caught:
            await asking
        assert (caught.value.status, caught.value.reason) == (status, "of the log")
        client.close()

    play(loop, scenario())


def test_answer_to_another_question_is_none(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = ResolverClient(loop, 10, journal.log, stage.path)
    hosts = MailHosts((MailHost(0, "b.test", ("192.0.2.1",)),), implicit=True)

    async def scenario() -> None:
        asking = [
            asyncio.ensure_future(client.mail_hosts("b.test")),
            asyncio.ensure_future(client.addresses("b.test")),
        ]
        peer = await stage.server()
        peer.send(1, HostAddresses(("192.0.2.1",)))
        peer.send(2, hosts)
        for each in asking:
            with pytest.raises(Unavailable, match="no answer to that"):
                await each
        client.close()

    play(loop, scenario())


def test_dying_resolver_is_asked_again(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = ResolverClient(loop, 10, journal.log, stage.path)
    addresses = HostAddresses(("192.0.2.1",))

    async def scenario() -> None:
        asking = asyncio.ensure_future(client.addresses("mx.b.test"))
        first = await stage.server()
        await first.hear(ResolverRequest)
        first.abort()
        second = await stage.server()
        await second.hear(ResolverRequest)
        second.send(1, addresses)
        assert await asking == addresses
        client.close()

    play(loop, scenario())


# cleanup


async def heard_message(peer: RawPeer) -> tuple[int, list[Begin | More]]:
    frames: list[Begin | More] = []
    while not frames or not frames[-1].last:
        number, body = await peer.hear(CleanupRequest)
        frames.append(body)
    return number, frames


def recipients(count: int) -> list[Recipient]:
    return [Recipient(f"{n}@b.test", f"{n}@b.test") for n in range(count)]


@pytest.mark.parametrize(
    ("people", "size", "count"),
    [
        (1, 0, 1),
        (1, 20, 1),
        (RECIPIENTS_LIMIT, CONTENT_BESIDE_RECIPIENTS, 1),
        (RECIPIENTS_LIMIT + 1, 10, 2),
        (1, CONTENT_BESIDE_RECIPIENTS + 1, 2),
        (1, CONTENT_BESIDE_RECIPIENTS + CONTENT_LIMIT, 2),
        (1000, 1_000_000, 31),
        (1000, 10, 25),
    ],
)
def test_transaction_arrives_whole_in_few_frames(
    loop: asyncio.AbstractEventLoop,
    journal: Journal,
    stage: Stage,
    people: int,
    size: int,
    count: int,
) -> None:
    content = os.urandom(size)
    client = CleanupClient(loop, 10, journal.log, stage.path)

    async def submit() -> str:
        transaction = client.begin("s@b.test", ORIGIN, True)
        transaction.recipients(recipients(people)[:1])
        transaction.recipients(recipients(people)[1:])
        for start in range(0, size, 10_007):
            await transaction.content(memoryview(content)[start : start + 10_007])
        return await transaction.commit()

    async def scenario() -> None:
        submitting = asyncio.ensure_future(submit())
        peer = await stage.server()
        number, frames = await heard_message(peer)
        peer.send(number, Committed(QUEUE_ID))
        assert await submitting == QUEUE_ID
        begin = frames[0]
        assert isinstance(begin, Begin)
        assert (begin.sender, begin.origin, begin.body_8bit) == ("s@b.test", ORIGIN, True)
        assert [one for frame in frames for one in frame.recipients] == recipients(people)
        assert b"".join(frame.content for frame in frames) == content
        assert all(isinstance(frame, More) for frame in frames[1:])
        # Cleanup takes no recipient after content.
        last = max(index for index, frame in enumerate(frames) if frame.recipients)
        assert not any(frame.content for frame in frames[:last])
        # Recipients that fill a frame leave before any content is known.
        assert len(frames) <= count + 25
        assert len(frames) == count or people > RECIPIENTS_LIMIT
        client.close()

    play(loop, scenario())


def test_early_refusal_is_raised_by_commit(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = CleanupClient(loop, 10, journal.log, stage.path)

    async def scenario() -> None:
        transaction = client.begin("", ORIGIN, False)
        transaction.recipients(recipients(1))
        assert not transaction.failed
        await transaction.content(b"x" * (CONTENT_LIMIT + 1))
        peer = await stage.server()
        number, _ = await peer.hear(CleanupRequest)
        peer.send(number, Refused(FULL, "queue_minfree"))
        await soon(lambda: transaction.failed)
        await transaction.content(b"x" * CONTENT_LIMIT * 3)
        with pytest.raises(MailError) as caught:
            await transaction.commit()
        assert (caught.value.status, caught.value.reason) == (FULL, "queue_minfree")
        client.close()

    play(loop, scenario())


def test_commit_without_an_answer_is_451(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = CleanupClient(loop, 10, journal.log, stage.path)

    async def scenario() -> None:
        transaction = client.begin("", ORIGIN, False)
        transaction.recipients(recipients(1))
        committing = asyncio.ensure_future(transaction.commit())
        peer = await stage.server()
        await peer.hear(CleanupRequest)
        peer.abort()
        with pytest.raises(Unavailable, match=r"451 4\.3\.0"):
            await committing

    play(loop, scenario())


def test_committed_before_the_end_is_not_believed(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    """Else a message of which cleanup has a part would be acknowledged."""
    client = CleanupClient(loop, 10, journal.log, stage.path)

    async def scenario() -> None:
        transaction = client.begin("", ORIGIN, False)
        await transaction.content(b"x" * (CONTENT_LIMIT + 1))
        peer = await stage.server()
        number, _ = await peer.hear(CleanupRequest)
        peer.send(number, Committed(QUEUE_ID))
        await soon(lambda: transaction.failed)
        with pytest.raises(Unavailable, match="before the end"):
            await transaction.commit()
        assert await asyncio.wait_for(peer.hear_raw(), 1) == b""

    play(loop, scenario())


def test_committed_while_the_end_waits_is_not_believed(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = CleanupClient(loop, 10, journal.log, stage.path)
    piece = b"x" * CONTENT_LIMIT

    async def begun() -> Transaction:
        transaction = client.begin("", ORIGIN, False)
        await transaction.content(piece * 2)
        return transaction

    async def scenario() -> None:
        transaction, room = await begun(), 0
        while transaction.gather(piece):  # until the socket is full and one frame waits
            room += 1
        transaction.abort()
        transaction = await begun()
        for _ in range(room):
            assert transaction.gather(piece)
        committing = asyncio.ensure_future(transaction.commit())
        await stage.server()
        peer = await stage.server()
        peer.send(2, Committed(QUEUE_ID))
        with pytest.raises(Unavailable, match="before the end"):
            await committing

    play(loop, scenario())


@pytest.mark.parametrize("size", [1, CONTENT_LIMIT + 1])
def test_aborted_transaction_leaves_nothing_behind(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage, size: int
) -> None:
    client = CleanupClient(loop, 10, journal.log, stage.path)

    async def scenario() -> None:
        transaction = client.begin("", ORIGIN, False)
        await transaction.content(b"x" * size)
        transaction.abort()
        if size == 1:
            await asyncio.sleep(0.01)
            assert stage.peers.empty()
        else:
            peer = await stage.server()
            _, begin = await peer.hear(CleanupRequest)
            assert not begin.last
            assert await peer.hear_raw() == b""

    play(loop, scenario())


def test_what_is_gathered_is_sent_as_far_as_nobody_must_wait(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = CleanupClient(loop, 10, journal.log, stage.path)
    piece = b"x" * CONTENT_LIMIT

    async def scenario() -> None:
        transaction = client.begin("", ORIGIN, False)
        assert transaction.gather(piece)  # not more than a frame
        assert not transaction.gather(piece)  # there is no connection yet
        await transaction.flush()
        peer = await stage.server()
        pieces = 2
        while transaction.gather(piece):
            pieces += 1
        committing = asyncio.ensure_future(transaction.commit())
        number, frames = await heard_message(peer)
        peer.send(number, Committed(QUEUE_ID))
        assert await committing == QUEUE_ID
        assert b"".join(frame.content for frame in frames) == piece * (pieces + 1)
        client.close()

    play(loop, scenario())


def test_backpressure_reaches_the_source(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = CleanupClient(loop, 10, journal.log, stage.path)
    given = 0

    async def pour() -> str:
        nonlocal given
        transaction = client.begin("", ORIGIN, False)
        transaction.recipients(recipients(1))
        for _ in range(200):
            await transaction.content(b"x" * CONTENT_LIMIT)
            given += 1
        return await transaction.commit()

    async def scenario() -> None:
        pouring = asyncio.ensure_future(pour())
        peer = await stage.server()
        await asyncio.sleep(0.05)
        assert given < 20
        number, frames = await heard_message(peer)
        peer.send(number, Committed(QUEUE_ID))
        assert await pouring == QUEUE_ID
        assert sum(len(frame.content) for frame in frames) == 200 * CONTENT_LIMIT
        client.close()

    play(loop, scenario())


# qmgr


def test_qmgr_notification_and_flush(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = QmgrClient(loop, 10, journal.log, stage.path)

    async def scenario() -> None:
        client.notify_arrived(QUEUE_ID)
        flushing = asyncio.ensure_future(client.flush())
        peer = await stage.server()
        assert await peer.hear(QmgrRequest) == (1, Arrived((QUEUE_ID,)))
        assert await peer.hear(QmgrRequest) == (2, Flush())
        peer.send(2, Accepted(7))
        assert await flushing == 7
        client.close()

    play(loop, scenario())


def test_qmgr_gives_up(loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage) -> None:
    client = QmgrClient(loop, 10, journal.log, stage.path)

    async def scenario() -> None:
        giving_up = asyncio.ensure_future(client.give_up(QUEUE_ID))
        peer = await stage.server()
        assert await peer.hear(QmgrRequest) == (1, GiveUp(QUEUE_ID))
        peer.abort()  # asked again: to give up twice is the same
        peer = await stage.server()
        assert await peer.hear(QmgrRequest) == (1, GiveUp(QUEUE_ID))
        peer.send(1, Accepted(1))
        assert await giving_up == 1
        client.close()

    play(loop, scenario())


# delivery agents

REQUEST = Deliver(
    QUEUE_ID,
    "s@b.test",
    (DeliverRecipient(4, "a@b.test", "a@b.test"), DeliverRecipient(9, "c@b.test", "c@b.test")),
    "b.test",
    1.0,
    100,
    2,
)


def outcomes(*indices: int) -> Outcomes:
    return Outcomes(tuple(Outcome(n, Disposition.DELIVERED, SENT, "virtual") for n in indices))


def test_delivery_hands_the_open_file_over(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage, tmp_path: Path
) -> None:
    client = DeliveryClient(stage.path, loop, 10, journal.log, 5)
    (tmp_path / "message").write_bytes(b"." * 100 + b"hi")
    descriptor = os.open(tmp_path / "message", os.O_RDONLY)

    async def scenario() -> None:
        delivering = asyncio.ensure_future(client.deliver(REQUEST, descriptor))
        peer = await stage.server()
        await asyncio.sleep(0)
        data, descriptors, _, _ = socket.recv_fds(peer.socket, 65536, 8)
        [received] = descriptors
        assert os.pread(received, 2, 100) == b"hi"
        os.close(received)
        assert data
        peer.send(1, outcomes(9, 4))
        assert await delivering == outcomes(9, 4)
        client.close()

    play(loop, scenario())
    os.close(descriptor)


def test_dying_agent_loses_the_request(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = DeliveryClient(stage.path, loop, 10, journal.log, 5)

    async def scenario() -> None:
        delivering = asyncio.ensure_future(client.deliver(REQUEST, 0))
        peer = await stage.server()
        await peer.hear_raw()
        peer.abort()
        with pytest.raises(RequestLost):
            await delivering

    play(loop, scenario())


# bounce


@pytest.mark.parametrize("report", [QUEUE_ID, ""])
def test_a_report_is_made_from_the_open_file(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage, tmp_path: Path, report: str
) -> None:
    client = BounceClient(loop, 10, journal.log, stage.path)
    (tmp_path / "message").write_bytes(b"the journal")
    descriptor = os.open(tmp_path / "message", os.O_RDONLY)

    async def scenario() -> None:
        reporting = asyncio.ensure_future(client.report(ReportKind.FAILURE, "C" * 22, descriptor))
        peer = await stage.server()
        await asyncio.sleep(0)
        data, descriptors, _, _ = socket.recv_fds(peer.socket, 65536, 8)
        [received] = descriptors
        assert os.pread(received, 100, 0) == b"the journal"
        os.close(received)
        assert data == encode(1, Report(ReportKind.FAILURE, "C" * 22))
        peer.send(1, Reported(report))
        assert await reporting == report
        client.close()

    play(loop, scenario())
    os.close(descriptor)


def test_a_report_is_not_asked_for_twice(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    """It may have been made: whether another one is worth it, the queue manager decides."""
    client = BounceClient(loop, 10, journal.log, stage.path)

    async def scenario() -> None:
        reporting = asyncio.ensure_future(client.report(ReportKind.DELAY, QUEUE_ID, 0))
        peer = await stage.server()
        await peer.hear_raw()
        peer.abort()
        with pytest.raises(RequestLost):
            await reporting
        assert stage.peers.empty()

    play(loop, scenario())


def test_a_refused_report_tells_why(
    loop: asyncio.AbstractEventLoop, journal: Journal, stage: Stage
) -> None:
    client = BounceClient(loop, 10, journal.log, stage.path)

    async def scenario() -> None:
        reporting = asyncio.ensure_future(client.report(ReportKind.DELAY, QUEUE_ID, 0))
        peer = await stage.server()
        await peer.hear_raw()
        peer.send(1, Refused(FULL, "no space"))
        with pytest.raises(MailError) as caught:
            await reporting
        assert (caught.value.status, caught.value.reason) == (FULL, "no space")
        client.close()

    play(loop, scenario())
