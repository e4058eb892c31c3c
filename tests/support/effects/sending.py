"""What the client for other hosts does to them: the real agent, against servers of this loop."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from mta.daemons.smtp import make_agent
from mta.delivery.client.agent import RemoteDelivery
from mta.delivery.client.session import Endpoint
from mta.ipc.messages import (
    Deliver,
    DeliverRecipient,
    FindMailHosts,
    MailHost,
    MailHosts,
    Outcome,
    ResolverRequest,
)
from mta.ipc.server import RequestServer
from support.effects.scene import PORT, Scene
from support.ipc import Listening, RawPeer

__all__ = [
    "a_full_host",
    "a_host_of_ours",
    "a_host_without_tls",
    "a_silent_resolver",
    "addresses_to_try",
    "age_of_a_session",
    "first_protocols",
    "name_in_ehlo",
    "nobody_there",
    "sessions_begun",
    "the_usual_port",
    "time_of_an_idle_session",
    "time_of_silence",
    "time_of_silence_after_a_refusal",
]

_NOBODY: Final = "[127.0.0.4]:2601"  # where nobody listens
_BIG: Final = 16 * 2**20  # octets: more than sockets buffer


class _Server:
    """A mail host that falls silent at one stage; all sessions together."""

    def __init__(self, *, silent: str = "", ehlo: str = "250 peer.test", **replies: str) -> None:
        """`replies` are those that are not 250, by verb."""
        self.silent = silent
        self.connections = 0
        self.helo = ""
        self.fell_silent = asyncio.Event()
        self.gone = asyncio.Event()  # a client has hung up
        self._replies = {"EHLO": ehlo, "DATA": "354 go on", **replies}
        self._sessions: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._sessions.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            await self._say("GREETING", "220 peer.test", reader, writer)
            while line := await reader.readline():
                verb, _, argument = line.decode().strip().partition(" ")
                if verb == "EHLO":
                    self.helo = argument
                await self._say(verb, self._replies.get(verb, "250 2.0.0 ok"), reader, writer)
                if verb == "DATA" and self.silent != "CONTENT":
                    await reader.readuntil(b"\r\n.\r\n")
                    await self._say("END", "250 2.0.0 ok", reader, writer)
                elif verb == "DATA":
                    await asyncio.Event().wait()  # nothing is read
        self.gone.set()

    async def _say(
        self, stage: str, reply: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if stage != self.silent:
            writer.write(reply.encode() + b"\r\n")
            return
        self.fell_silent.set()
        while await reader.read(65536):
            pass
        raise ConnectionResetError

    async def close(self) -> None:
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # until they are closed


class _House:
    """The agent of the row outbound, and the hosts around it."""

    def __init__(self, scene: Scene, stack: contextlib.AsyncExitStack) -> None:
        self._stack = stack
        self._scene = scene
        self.agent = make_agent(scene.context("outbound"))
        stack.push_async_callback(self.agent.stop)

    async def host(self, server: _Server, address: str = "127.0.0.1", port: int = 0) -> str:
        """Let the server listen; the nexthop that leads to it."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind((address, port))
        listening = await asyncio.start_server(server.accept, sock=listener)
        self._stack.push_async_callback(server.close)
        self._stack.callback(listening.close)
        return f"[{address}]:{listener.getsockname()[1]}"

    def resolver(self, answer: Callable[[], MailHosts] | None) -> None:
        """Let a resolver give this answer, or none."""
        server: RequestServer[FindMailHosts] = RequestServer(
            ResolverRequest, self._scene.journal.log, lambda: None, lambda *_: answer and answer()
        )
        listening = Listening(
            self._scene.folder / "private/resolver",
            lambda client, finished: (
                server.connect(client, "", finished) if answer else RawPeer(client)
            ),
        )
        self._stack.callback(listening.close)

    async def deliver(self, nexthop: str, size: int = 20) -> Outcome:
        """Deliver one message to one recipient."""
        path = self._scene.folder / "content"
        path.write_bytes(b"Subject: x\r\n\r\n" + b"x" * 62 + b"\r\n" * (size // 2))
        descriptor = os.open(path, os.O_RDONLY)
        try:
            to = (DeliverRecipient(0, "bob@peer.test", ""),)
            length = path.stat().st_size
            request = Deliver("B" * 22, "a@example.org", to, nexthop, 0.0, 0, length)
            return (await self.agent._answer(request, (descriptor,))).outcomes[0]
        finally:
            os.close(descriptor)

    async def find(self, nexthop: str) -> tuple[Endpoint, ...]:
        """The places that the agent would try, in order."""
        assert isinstance(self.agent._deliver, RemoteDelivery)
        return (await self.agent._deliver._means.find_hosts(nexthop)).endpoints


@contextlib.asynccontextmanager
async def _house(scene: Scene) -> AsyncIterator[_House]:
    async with contextlib.AsyncExitStack() as stack:
        yield _House(scene, stack)


async def _seconds(waited_for: Awaitable[object]) -> int:
    since = asyncio.get_running_loop().time()
    await waited_for
    return round(asyncio.get_running_loop().time() - since)


def time_of_silence(stage: str) -> Callable[[Scene], int]:
    """After how many seconds a host is given up that falls silent at this stage."""

    async def scenario(scene: Scene) -> int:
        async with _house(scene) as house:
            offered = "250-peer.test\r\n250 STARTTLS" if stage == "STARTTLS" else "250 peer.test"
            server = _Server(silent=stage, ehlo=offered)
            nexthop = await house.host(server)
            size = _BIG if stage == "CONTENT" else 20
            return await _seconds(house.deliver(nexthop, size))

    return lambda scene: scene.play_in_no_time(scenario(scene))


def a_full_host(scene: Scene) -> int:
    """After how many seconds an address is given up that neither accepts nor refuses."""

    async def scenario() -> int:
        with contextlib.ExitStack() as stack:
            full = stack.enter_context(socket.socket())
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            async with _house(scene) as house:
                return await _seconds(house.deliver(f"[127.0.0.1]:{full.getsockname()[1]}"))

    return scene.play_in_no_time(scenario())


def time_of_silence_after_a_refusal(scene: Scene) -> int:
    """For how many seconds the next message waits for a host that owes an answer to RSET."""

    async def scenario() -> int:
        async with _house(scene) as house:
            server = _Server(silent="RSET", RCPT="550 5.1.1 unknown")
            nexthop = await house.host(server)
            await house.deliver(nexthop)
            await server.fell_silent.wait()
            return await _seconds(house.deliver(nexthop))

    return scene.play_in_no_time(scenario())


def time_of_an_idle_session(scene: Scene) -> int:
    """For how many seconds a session without work is kept."""

    async def scenario() -> int:
        async with _house(scene) as house:
            server = _Server()
            await house.deliver(await house.host(server))
            return await _seconds(server.gone.wait())

    return scene.play_in_no_time(scenario())


def age_of_a_session(scene: Scene) -> int:
    """How many sessions two messages take that are ten seconds apart."""

    async def scenario() -> int:
        async with _house(scene) as house:
            server = _Server()
            nexthop = await house.host(server)
            await house.deliver(nexthop)
            await asyncio.sleep(10)
            await house.deliver(nexthop)
            return server.connections

    return scene.play_in_no_time(scenario())


def name_in_ehlo(scene: Scene) -> str:
    async def scenario() -> str:
        async with _house(scene) as house:
            server = _Server()
            await house.deliver(await house.host(server))
            return server.helo

    return scene.play_in_no_time(scenario())


def a_host_without_tls(scene: Scene) -> str:
    """What becomes of mail for a host that does not offer STARTTLS."""

    async def scenario() -> str:
        async with _house(scene) as house:
            return (await house.deliver(await house.host(_Server()))).disposition.name

    return scene.play_in_no_time(scenario())


def _fails(scene: Scene, nexthop: str) -> str:
    async def scenario() -> str:
        async with _house(scene) as house:
            return (await house.deliver(nexthop)).status.text

    return scene.play_in_no_time(scenario())


def nobody_there(scene: Scene) -> str:
    """What is said of mail for a host where nobody listens."""
    return _fails(scene, _NOBODY)


def the_usual_port(scene: Scene) -> int:
    """The port of a host where the nexthop names none."""

    async def scenario() -> int:
        async with _house(scene) as house:
            (endpoint,) = await house.find("[127.0.0.4]")
            return endpoint.port

    return scene.play_in_no_time(scenario())


def a_host_of_ours(scene: Scene) -> str:
    """What is said of mail for an address that may be that of a proxy."""
    return _fails(scene, f"[127.0.0.4]:{PORT}")


def sessions_begun(scene: Scene) -> int:
    """How many of four hosts are tried that greet us, and take no mail now."""

    async def scenario() -> int:
        async with _house(scene) as house:
            server = _Server(MAIL="451 4.3.0 busy")
            first = await house.host(server, "127.0.2.1")
            port = int(first.rpartition(":")[2])
            for number in (2, 3, 4):
                await house.host(server, f"127.0.2.{number}", port)
            hosts = tuple(MailHost(n, f"mx{n}.test", (f"127.0.2.{n}",)) for n in (1, 2, 3, 4))
            house.resolver(lambda: MailHosts(hosts, implicit=False))
            await house.deliver(f"peer.test:{port}")
            return server.connections

    return scene.play_in_no_time(scenario())


def a_silent_resolver(scene: Scene) -> int:
    """After how many seconds mail is deferred whose hosts nobody knows."""

    async def scenario() -> int:
        async with _house(scene) as house:
            house.resolver(None)
            return await _seconds(house.deliver("peer.test"))

    return scene.play_in_no_time(scenario())


def addresses_to_try(scene: Scene) -> int:
    """How many of a host's eight addresses are tried at most."""

    async def scenario() -> int:
        async with _house(scene) as house:
            addresses = tuple(f"192.0.2.{number}" for number in range(1, 9))
            house.resolver(lambda: MailHosts((MailHost(0, "mx.test", addresses),), implicit=False))
            return len(await house.find("peer.test"))

    return scene.play_in_no_time(scenario())


def first_protocols(scene: Scene) -> set[int]:
    """The versions of the addresses that are tried first, in a hundred deliveries."""

    async def scenario() -> set[int]:
        async with _house(scene) as house:
            host = MailHost(0, "mx.test", ("192.0.2.1", "2001:db8::1"))
            house.resolver(lambda: MailHosts((host,), implicit=False))
            found = [await house.find("peer.test") for _ in range(100)]
            return {6 if ":" in first.address else 4 for first, *_ in found}

    return scene.play_in_no_time(scenario())
