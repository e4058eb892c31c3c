"""One connection: what passes, what closes it, and what happens at its end."""

import asyncio
import fcntl
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.ipc import Journal, RawPeer, blind, soon

from mta.ipc.connection import QUEUE_LIMIT, Connection, Descriptors, MessageTypes, close_all
from mta.ipc.messages import (
    FRAME_LIMIT,
    Deliver,
    DeliverRecipient,
    DeliveryRequest,
    Goodbye,
    Message,
    Refused,
    Resolve,
    RewriteRequest,
)
from mta.proto.status import Status

DELIVER = Deliver(
    "B" * 22, "a@b.test", (DeliverRecipient(0, "c@d.test", "c@d.test"),), "d.test", 1.5, 100, 20
)
BULKY = Refused(Status(451, "4.3.0", "busy"), "x" * 1000)


@dataclass
class Heard:
    """One end under test, and all that it called back."""

    connection: Connection[Any] = field(init=False)
    frames: list[tuple[int, Message, Descriptors]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def received(self, number: int, body: Message, descriptors: Descriptors) -> None:
        self.frames.append((number, body, descriptors))


def connected(
    kind: MessageTypes, journal: Journal, *, loop: asyncio.AbstractEventLoop
) -> tuple[Heard, RawPeer]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    heard = Heard()
    heard.connection = Connection[Any](
        ours,
        loop,
        kind,
        name="private/test",
        log=journal.log,
        received=heard.received,
        closed=heard.reasons.append,
    )
    return heard, RawPeer(theirs)


@pytest.fixture
def read_end() -> Iterator[int]:
    """A descriptor to hand over."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_descriptor_arrives_closed_on_exec(
    loop: asyncio.AbstractEventLoop, journal: Journal, read_end: int
) -> None:
    heard, peer = connected(DeliveryRequest, journal, loop=loop)

    async def scenario() -> None:
        peer.send(1, DELIVER, (read_end,))
        await soon(lambda: heard.frames)

    loop.run_until_complete(scenario())
    [(number, body, (descriptor,))] = heard.frames
    assert (number, body) == (1, DELIVER)
    assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert os.path.sameopenfile(descriptor, read_end)
    close_all((descriptor,))
    heard.connection.close()
    peer.abort()


@pytest.mark.parametrize(
    ("kind", "body", "count"),
    [
        (DeliveryRequest, DELIVER, 0),
        (DeliveryRequest, DELIVER, 2),
        (DeliveryRequest, DELIVER, 50),
        (RewriteRequest, Resolve("a@b"), 1),
        (RewriteRequest, Resolve("a@b"), 3),
    ],
)
def test_wrong_number_of_descriptors_closes_and_leaks_nothing(
    loop: asyncio.AbstractEventLoop,
    journal: Journal,
    read_end: int,
    kind: MessageTypes,
    body: Message,
    count: int,
) -> None:
    heard, peer = connected(kind, journal, loop=loop)
    before = open_descriptors()

    async def scenario() -> None:
        peer.send(1, body, (read_end,) * count)
        await soon(lambda: heard.reasons)

    loop.run_until_complete(scenario())
    assert not heard.frames
    assert heard.connection.malformed
    [line] = journal.events("ipc_malformed")
    assert line["peer"] == os.getpid()
    assert open_descriptors() == before - 1  # the connection
    peer.abort()


@pytest.mark.parametrize("extra", [1, 5000])
def test_frame_over_the_limit_closes(
    loop: asyncio.AbstractEventLoop, journal: Journal, extra: int
) -> None:
    heard, peer = connected(RewriteRequest, journal, loop=loop)
    peer.send_raw(b"\x93" * (FRAME_LIMIT + extra))
    loop.run_until_complete(soon(lambda: heard.reasons))
    [line] = journal.events("ipc_malformed")
    assert "truncated" in line["reason"]
    peer.abort()


def test_replies_before_a_reset_are_heard(
    loop: asyncio.AbstractEventLoop, journal: Journal
) -> None:
    """A server that closes with frames of ours unread makes the kernel say ECONNRESET first."""
    heard, peer = connected(Goodbye, journal, loop=loop)
    heard.connection.send(1, Resolve("a@b"))
    heard.connection.send(2, Resolve("a@b"))
    peer.send(0, Goodbye(0))
    peer.abort()
    heard.connection.send(3, Resolve("a@b"))
    assert heard.connection.send_failed
    loop.run_until_complete(soon(lambda: heard.reasons))
    assert [body for _, body, _ in heard.frames] == [Goodbye(0)]
    assert heard.reasons == [""]


def test_a_full_socket_queues_in_order_and_drains(
    loop: asyncio.AbstractEventLoop, journal: Journal
) -> None:
    heard, peer = connected(Goodbye, journal, loop=loop)

    async def scenario() -> None:
        sent = 0
        while not heard.connection.congested:
            sent += 1
            heard.connection.send(sent, BULKY)
        for _ in range(10):
            sent += 1
            heard.connection.send(sent, BULKY)
        drained = asyncio.Event()
        heard.connection.when_drained = drained.set
        numbers = [(await peer.hear(Refused))[0] for _ in range(sent)]
        assert numbers == list(range(1, sent + 1))
        await drained.wait()
        heard.connection.close()

    loop.run_until_complete(scenario())
    peer.abort()


def test_finish_sends_what_waits_before_it_closes(
    loop: asyncio.AbstractEventLoop, journal: Journal
) -> None:
    heard, peer = connected(Goodbye, journal, loop=loop)

    async def scenario() -> None:
        sent = 0
        while not heard.connection.congested:
            sent += 1
            heard.connection.send(sent, BULKY)
        heard.connection.finish()
        assert not heard.reasons
        for number in range(1, sent + 1):
            assert (await peer.hear(Refused))[0] == number
        assert await peer.hear_raw() == b""

    loop.run_until_complete(scenario())
    assert heard.reasons == [""]
    peer.abort()


def test_a_peer_that_never_reads_is_given_up(
    loop: asyncio.AbstractEventLoop, journal: Journal
) -> None:
    heard, peer = connected(Goodbye, journal, loop=loop)
    for number in range(QUEUE_LIMIT + 2000):
        heard.connection.send(number, BULKY)
    assert heard.reasons == ["the peer does not read"]
    peer.abort()


def test_a_frame_larger_than_the_socket_takes_ends_the_connection(
    loop: asyncio.AbstractEventLoop, journal: Journal
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    reasons: list[str] = []
    connection = Connection[Goodbye](
        ours,
        loop,
        Goodbye,
        name="private/test",
        log=journal.log,
        received=lambda *_: None,
        closed=reasons.append,
    )
    connection.send(1, Refused(Status(451, "4.3.0", "busy"), "x" * 30_000))
    assert len(reasons) == 1
    assert "Message too long" in reasons[0]
    theirs.close()


def test_what_cannot_be_watched_again_ends_and_says_so(
    loop: asyncio.AbstractEventLoop, journal: Journal
) -> None:
    """Else its client would wait for an answer that nobody reads."""
    heard, peer = connected(RewriteRequest, journal, loop=loop)
    heard.connection.pause()
    heard.connection._loop = blind(loop)
    heard.connection.resume()
    assert heard.reasons == ["watch: [Errno 24] Too many open files"]
    peer.abort()
