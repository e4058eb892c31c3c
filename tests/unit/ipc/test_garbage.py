"""Gossip: whatever bytes arrive, the receiver closes that connection, says so, and goes on.

Live servers and clients on real sockets; each example is followed by a well-behaved peer.
"""

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ipc import Journal, Listening, RawPeer
from support.messages import is_valid, messages

from mta.ipc.bounce import BounceClient
from mta.ipc.cleanup import CleanupClient
from mta.ipc.client import RequestLost, Unavailable
from mta.ipc.connection import Descriptors, MessageTypes, encode
from mta.ipc.delivery import DeliveryClient
from mta.ipc.lookup import LookupClient
from mta.ipc.messages import (
    FRAME_LIMIT,
    Begin,
    BounceReply,
    BounceRequest,
    CleanupReply,
    CleanupRequest,
    Deliver,
    DeliverRecipient,
    DeliveryReply,
    DeliveryRequest,
    Flush,
    Key,
    LookupReply,
    LookupRequest,
    Message,
    QmgrReply,
    QmgrRequest,
    Refused,
    Report,
    ReportKind,
    Resolve,
    RewriteReply,
    RewriteRequest,
)
from mta.ipc.qmgr import QmgrClient
from mta.ipc.rewrite import RewriteClient
from mta.ipc.server import RequestServer
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import MailError, Status

ORIGIN = Origin("ESMTP", "127.0.0.1", 12345, "client.test", "smtp")
RECIPIENT = Recipient("a@b.test", "a@b.test")
DELIVER = Deliver("B" * 22, "", (DeliverRecipient(3, "a@b", "a@b"),), "b", 0.0, 0, 0)
GOOD: dict[MessageTypes, Message] = {
    RewriteRequest: Resolve("a@b.test"),
    CleanupRequest: Begin("", ORIGIN, False, (RECIPIENT,), b"", True),
    QmgrRequest: Flush(),
    DeliveryRequest: DELIVER,
    BounceRequest: Report(ReportKind.FAILURE, "B" * 22),
}
STDIN = 0  # a descriptor that is always open
REFUSED = Refused(Status(450, "4.2.0", "busy"))

live = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def garbage(kind: MessageTypes) -> st.SearchStrategy[bytes]:
    """Packets from noise to almost right; some are valid after all."""
    frames = st.builds(encode, st.integers(0, 3), messages(kind))
    return st.one_of(
        st.binary(min_size=1, max_size=200),
        frames.map(lambda frame: b"\x93\x02" + frame[2:]),  # of version 2
        frames.map(lambda frame: frame + b"\0"),
        frames.map(lambda frame: b"\x94" + frame[1:] + b"\x91" * 5000),  # deeply nested surplus
        st.builds(lambda frame, at: frame[: 1 + at % len(frame)], frames, st.integers(0)),
        st.builds(_flipped, frames, st.lists(st.integers(0), min_size=1, max_size=4)),
        st.integers(1, 9000).map(lambda more: b"\x93" * (FRAME_LIMIT + more)),
    )


def _flipped(frame: bytes, places: list[int]) -> bytes:
    damaged = bytearray(frame)
    for place in places:
        damaged[place % len(frame)] ^= 1 << place % 8
    return bytes(damaged)


def refuse(_: Message, __: Descriptors) -> Message:
    return REFUSED


# Servers


@dataclass
class Live:
    """A server in a loop that the examples share."""

    loop: asyncio.AbstractEventLoop
    journal: Journal
    kind: MessageTypes
    listening: Listening

    def run(self, scenario: Awaitable[None]) -> None:
        self.loop.run_until_complete(asyncio.wait_for(scenario, 20))


@pytest.fixture(params=list(GOOD), ids=str)
def server(
    request: pytest.FixtureRequest,
    loop: asyncio.AbstractEventLoop,
    journal: Journal,
    short_path: Path,
) -> Iterator[Live]:
    handler = RequestServer[Message](request.param, journal.log, lambda: None, refuse)

    async def listen() -> Listening:
        return Listening(
            short_path / "socket", lambda client, finished: handler.connect(client, "", finished)
        )

    listening = loop.run_until_complete(listen())
    yield Live(loop, journal, request.param, listening)
    listening.close()


@given(data=st.data())
@live
def test_server_survives_garbage(server: Live, data: st.DataObject) -> None:
    packets = data.draw(st.lists(garbage(server.kind), min_size=1, max_size=3))
    complaints = len(server.journal.events("ipc_malformed"))

    async def scenario() -> None:
        rogue = RawPeer.connect(server.listening.path)
        for packet in packets:
            try:
                rogue.send_raw(packet)
            except (BrokenPipeError, ConnectionResetError):
                break
        rogue.finish_sending()
        while await rogue.hear_raw():
            pass
        rogue.abort()
        await talk_sense(server)

    server.run(scenario())
    if not any(is_valid(packet, server.kind) for packet in packets):
        assert len(server.journal.events("ipc_malformed")) == complaints + 1
    server.journal.forget()
    assert server.listening.finished == len(server.listening.sessions)


async def talk_sense(server: Live) -> None:
    peer = RawPeer.connect(server.listening.path)
    good = GOOD[server.kind]
    peer.send(1, good, (STDIN,) * good.descriptors)
    assert await peer.hear(Refused) == (1, REFUSED)
    peer.finish_sending()
    assert await peer.hear_raw() == b""
    peer.abort()


def test_empty_packet_is_the_end(server: Live) -> None:
    async def scenario() -> None:
        peer = RawPeer.connect(server.listening.path)
        peer.send_raw(b"")
        assert await peer.hear_raw() == b""
        peer.abort()
        await talk_sense(server)

    server.run(scenario())


# Clients


@dataclass
class Asking:
    """A client, what it asks, and what a server may answer."""

    ask: Callable[[], Awaitable[object]]
    requests: MessageTypes
    replies: MessageTypes


class Rogue:
    """A server that answers the first packet of each connection with `packets`."""

    def __init__(self, client: socket.socket, _: Callable[[], None]) -> None:
        self._socket = client
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(client, self._readable)

    packets: tuple[bytes, ...] = ()

    def _readable(self) -> None:
        try:
            heard = self._socket.recv(FRAME_LIMIT)
        except ConnectionResetError:
            return
        if not heard:
            self.abort()
            return
        for packet in self.packets:
            try:
                self._socket.send(packet)
            except (BrokenPipeError, ConnectionResetError, BlockingIOError):
                break

    def abort(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()


PATIENCE = 1.0  # seconds; only an answer that is promised and never comes costs it
CLIENTS = ("rewrite", "lookup", "cleanup", "qmgr", "delivery", "bounce")


def asking(name: str, path: str, loop: asyncio.AbstractEventLoop, journal: Journal) -> Asking:
    if name == "rewrite":
        rewrite = RewriteClient(loop, PATIENCE, journal.log, path)
        number = itertools.count()  # each address is new: an answer that made sense is cached
        return Asking(
            lambda: rewrite.resolve(f"{next(number)}@b.test"), RewriteRequest, RewriteReply
        )
    if name == "lookup":
        lookup = LookupClient(loop, PATIENCE, journal.log, "row", path)
        return Asking(
            lambda: lookup.find("canonical_maps", [Key("key")]), LookupRequest, LookupReply
        )
    if name == "qmgr":
        qmgr = QmgrClient(loop, PATIENCE, journal.log, path)
        return Asking(qmgr.flush, QmgrRequest, QmgrReply)
    if name == "delivery":
        delivery = DeliveryClient(path, loop, PATIENCE, journal.log, 10)
        return Asking(lambda: delivery.deliver(DELIVER, STDIN), DeliveryRequest, DeliveryReply)
    if name == "bounce":
        bounce = BounceClient(loop, PATIENCE, journal.log, path)
        return Asking(
            lambda: bounce.report(ReportKind.DELAY, "B" * 22, STDIN), BounceRequest, BounceReply
        )
    cleanup = CleanupClient(loop, PATIENCE, journal.log, path)

    async def commit() -> object:
        transaction = cleanup.begin("", ORIGIN, False)
        transaction.recipients([RECIPIENT])
        await transaction.content(b"x")
        return await transaction.commit()

    return Asking(commit, CleanupRequest, CleanupReply)


@pytest.mark.parametrize("name", CLIENTS)
@given(data=st.data())
@live
def test_client_survives_garbage(
    loop: asyncio.AbstractEventLoop,
    journal: Journal,
    short_path: Path,
    name: str,
    data: st.DataObject,
) -> None:
    path = short_path / "socket"
    client = asking(name, str(path), loop, journal)
    packets = data.draw(st.lists(garbage(client.replies), min_size=1, max_size=3))
    senseless = not is_valid(packets[0], client.replies)

    async def scenario() -> None:
        Rogue.packets = tuple(packets)
        listening = Listening(path, Rogue)
        try:
            await client.ask()
        except Unavailable:
            pass
        except (MailError, RequestLost):
            assert not senseless
        else:
            assert not senseless
        finally:
            listening.close()
        honest = RequestServer[Message](client.requests, journal.log, lambda: None, refuse)
        listening = Listening(path, lambda peer, finished: honest.connect(peer, "", finished))
        try:
            with pytest.raises(MailError, match="450"):
                await client.ask()
        finally:
            listening.close()

    loop.run_until_complete(asyncio.wait_for(scenario(), 20))
    if senseless:
        assert journal.events("ipc_malformed")
    journal.forget()
