"""What smtpd shows its clients: the real handler and a real rewrite, in this process's loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from mta.daemons.rewrite.handler import RewriteHandler
from mta.daemons.smtpd.handler import SmtpdHandler
from mta.ipc.messages import Begin, CleanupRequest, Committed
from mta.ipc.server import RequestServer
from support.effects.scene import Scene
from support.ipc import Listening, RawPeer

__all__ = [
    "a_long_command",
    "a_long_line_of_content",
    "a_silent_neighbour",
    "capabilities",
    "encryption",
    "errors_until_the_end",
    "greeting",
    "patience_for_a_command",
    "patience_for_content",
    "recipient",
    "relaying",
    "room_for_mail",
    "the_101st_recipient",
]

_STRANGE = "RCPT TO:<bob@elsewhere.test>"


class _Client:
    """A client of the loop; it reads a reply to each command."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, *lines: str) -> None:
        for line in lines:
            self._writer.write(line.encode() + b"\r\n")

    async def hear(self) -> list[str]:
        """The lines of one reply; none at the end."""
        lines: list[str] = []
        while line := (await self._reader.readline()).decode().rstrip("\r\n"):
            lines.append(line)
            if line[3:4] != "-":
                break
        return lines

    async def ask(self, *commands: str) -> str:
        """The last line of the last reply."""
        reply: list[str] = []
        for command in commands:
            self.say(command)
            reply = await self.hear()
        return reply[-1] if reply else ""


@contextlib.asynccontextmanager
async def _client(scene: Scene, *, silent: bool = False) -> AsyncIterator[_Client]:
    """A client that has not read its greeting; `silent`: rewrite answers nothing."""
    handler = SmtpdHandler(scene.context("smtp"))
    await handler.start()
    rewrite = RewriteHandler(scene.context("smtp"))
    cleanup: RequestServer[Begin] = RequestServer(
        CleanupRequest, scene.journal.log, lambda: None, lambda *_: Committed("B" * 22)
    )
    neighbours = [
        Listening(
            scene.folder / "private/rewrite",
            lambda client, finished: (
                RawPeer(client) if silent else rewrite.connect(client, "", finished)
            ),
        ),
        Listening(
            scene.folder / "private/cleanup",
            lambda client, finished: cleanup.connect(client, "", finished),
        ),
    ]
    over = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    session = handler.connect(ours, "", over.set)
    reader, writer = await asyncio.open_connection(sock=theirs)
    try:
        yield _Client(reader, writer)
    finally:
        writer.close()
        session.abort()
        await over.wait()
        await handler.stop()
        for each in neighbours:
            each.close()


def _asking(scene: Scene, *commands: str) -> str:
    async def scenario() -> str:
        async with _client(scene) as client:
            await client.hear()
            return await client.ask("EHLO client.test", *commands)

    return scene.play(scenario())


def greeting(scene: Scene) -> str:
    async def scenario() -> str:
        async with _client(scene) as client:
            return "\n".join(await client.hear())

    return scene.play(scenario())


def capabilities(scene: Scene) -> set[str]:
    """What EHLO offers."""

    async def scenario() -> set[str]:
        async with _client(scene) as client:
            await client.hear()
            client.say("EHLO client.test")
            return {line[4:] for line in (await client.hear())[1:]}

    return scene.play(scenario())


def encryption(scene: Scene) -> str:
    """What a client hears that asks for TLS."""
    return _asking(scene, "STARTTLS")[:3]


def relaying(scene: Scene) -> str:
    """What a client from 127.0.0.1 hears for a domain that is not ours."""
    return _asking(scene, "MAIL FROM:<a@example.org>", _STRANGE)


def recipient(scene: Scene) -> str:
    """What a client hears for bob@posthouse.test."""
    return _asking(scene, "MAIL FROM:<a@example.org>", "RCPT TO:<bob@posthouse.test>")


def room_for_mail(scene: Scene) -> str:
    return _asking(scene, "MAIL FROM:<a@example.org>")[:3]


def a_long_command(scene: Scene) -> str:
    return _asking(scene, "NOOP " + "x" * 700)[:3]


def the_101st_recipient(scene: Scene) -> str:
    recipients = [f"RCPT TO:<user{number}@posthouse.test>" for number in range(101)]
    return _asking(scene, "MAIL FROM:<a@example.org>", *recipients)[:3]


def a_long_line_of_content(scene: Scene) -> str:
    start = ("MAIL FROM:<a@example.org>", "RCPT TO:<bob@posthouse.test>", "DATA")
    return _asking(scene, *start, "Subject: x\r\n\r\n" + "x" * 1500 + "\r\n.")[:3]


def errors_until_the_end(scene: Scene) -> list[str]:
    """The replies to 25 commands that are none."""

    async def scenario() -> list[str]:
        async with _client(scene) as client:
            await client.hear()
            client.say(*["XYZZY"] * 25)
            replies = [(await client.hear())[-1][:3] for _ in range(2)]
            while reply := await client.hear():
                replies.append(reply[-1][:3])
                if len(replies) == 25:
                    break
            return replies

    return scene.play(scenario())


def a_silent_neighbour(scene: Scene) -> tuple[str, int]:
    """What a client hears when rewrite does not answer, and after how many seconds."""

    async def scenario() -> tuple[str, int]:
        async with _client(scene, silent=True) as client:
            await client.hear()
            await client.ask("EHLO client.test", "MAIL FROM:<a@example.org>")
            since = asyncio.get_running_loop().time()
            reply = await client.ask("RCPT TO:<bob@posthouse.test>")
            return reply[:3], round(asyncio.get_running_loop().time() - since)

    return scene.play_in_no_time(scenario())


def patience_for_a_command(scene: Scene) -> int:
    """After how many seconds a client that says nothing hears 421."""

    async def scenario() -> int:
        async with _client(scene) as client:
            await client.hear()
            return await _until_421(client)

    return scene.play_in_no_time(scenario())


def patience_for_content(scene: Scene) -> int:
    """After how many seconds one does that sends 100 octets of content in the first 200."""

    async def scenario() -> int:
        async with _client(scene) as client:
            await client.hear()
            start = ("MAIL FROM:<a@example.org>", "RCPT TO:<bob@posthouse.test>", "DATA")
            assert (await client.ask("EHLO client.test", *start)).startswith("354")
            await asyncio.sleep(200)
            client.say("x" * 98)
            return 200 + await _until_421(client)

    return scene.play_in_no_time(scenario())


async def _until_421(client: _Client) -> int:
    since = asyncio.get_running_loop().time()
    reply = await client.hear()
    assert reply[-1].startswith("421")
    return round(asyncio.get_running_loop().time() - since)
