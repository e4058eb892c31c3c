"""What pickup makes of the maildrop and of its callers: the real handler, in this loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from unittest.mock import patch

from msgspec.structs import replace

from mta.daemons.pickup.handler import PickupHandler
from mta.daemons.rewrite.handler import RewriteHandler
from mta.ipc.frames import FrameReader, encode
from mta.ipc.messages import (
    FRAME_LIMIT,
    Begin,
    CleanupRequest,
    Committed,
    Goodbye,
    PickupReply,
    Refused,
)
from mta.ipc.server import RequestServer
from mta.proto.envelope import Origin, Recipient
from mta.queue.layout import create_layout
from mta.queue.maildrop import Submission
from mta.submission.errors import SubmissionError
from mta.submission.place import find_place
from mta.submission.sending import open_door
from support.effects.scene import Scene
from support.ipc import Listening
from support.maildrop import drop
from support.scripted_service import listen_ipc

__all__ = ["answer_to_a_user", "callers", "emptied_folder", "full_turns", "patience_with_pickup"]

_ORIGIN = Origin("", "", 0, "", "")
_READER = FrameReader[Committed | Refused | Goodbye](PickupReply)


@contextlib.asynccontextmanager
async def _pickup(scene: Scene, taken: asyncio.Semaphore) -> AsyncIterator[PickupHandler]:
    """A handler that has not started; it releases `taken` for each message."""
    rewrite = RewriteHandler(scene.context("smtp"))
    cleanup: RequestServer[Begin] = RequestServer(
        CleanupRequest, scene.journal.log, lambda: None, lambda *_: Committed("B" * 22)
    )
    neighbours = [
        Listening(
            scene.folder / "private/rewrite",
            lambda client, finished: rewrite.connect(client, "", finished),
        ),
        Listening(
            scene.folder / "private/cleanup",
            lambda client, finished: cleanup.connect(client, "", finished),
        ),
    ]
    context = replace(scene.context("smtp"), used=lambda units=1: taken.release())
    handler = PickupHandler(context)
    try:
        yield handler
    finally:
        await handler.stop()
        for each in neighbours:
            each.close()


async def _work(scene: Scene, count: int) -> None:
    """Let it take that many messages, and end."""
    taken = asyncio.Semaphore(0)
    async with _pickup(scene, taken) as handler:
        await handler.start()
        for _ in range(count):
            await taken.acquire()


def emptied_folder(scene: Scene) -> str:
    """From which of two folders the only file that is taken comes."""
    create_layout(str(scene.folder))
    folders = [scene.folder / "maildrop", scene.folder / "elsewhere"]
    folders[1].mkdir()
    for folder in folders:
        drop(folder)

    scene.play(_work(scene, 1))
    (empty,) = (folder.name for folder in folders if not any(folder.iterdir()))
    return empty


def full_turns(scene: Scene) -> int:
    """How many turns leave some of three files for the next."""
    create_layout(str(scene.folder))
    for _ in range(3):
        drop(scene.folder / "maildrop")

    scene.play(_work(scene, 3))
    return len(scene.journal.events("turn_full"))


def callers(scene: Scene) -> int:
    """How many of two connections of one user are kept."""
    create_layout(str(scene.folder))

    async def scenario() -> int:
        async with _pickup(scene, asyncio.Semaphore(0)) as handler:
            pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
            sessions, over = [], []
            for ours, _ in pairs:
                ours.setblocking(False)
                ended = asyncio.Event()
                sessions.append(handler.connect(ours, "", ended.set))
                over.append(ended)
            kept = sum(not ended.is_set() for ended in over)
            for session, (_, theirs) in zip(sessions, pairs, strict=True):
                session.abort()
                theirs.close()
            return kept

    return scene.play(scenario())


def answer_to_a_user(scene: Scene) -> str:
    """What a user of this host hears who hands a message in."""
    create_layout(str(scene.folder))

    async def scenario() -> str:
        async with _pickup(scene, asyncio.Semaphore(0)) as handler:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            theirs.setblocking(False)
            ended = asyncio.Event()
            session = handler.connect(ours, "", ended.set)
            recipients = (Recipient("bob@example.org", "bob@example.org"),)
            begin = Begin("a@example.org", _ORIGIN, False, recipients, b"Subject: x\r\n\r\n", True)
            theirs.send(encode(1, begin))
            _, reply = _READER.take(
                await asyncio.get_running_loop().sock_recv(theirs, FRAME_LIMIT), (), 0
            )
            session.abort()
            await ended.wait()
            theirs.close()
            if isinstance(reply, Refused):
                return f"{reply.status.code} {reply.status.enhanced}"
            return "taken"

    return scene.play(scenario())


class _Impatient:
    """A poll(2) whose time is up at once."""

    def register(self, *_: object) -> None:
        """Whatever it is, nothing comes of it."""

    def poll(self, _: float) -> list[tuple[int, int]]:
        return []


def patience_with_pickup(scene: Scene) -> str:
    """What sendmail says when a pickup takes its message and never answers."""
    scene.write()
    (scene.folder / "main.yml").write_text(f"queue_directory: {scene.folder}\n")
    place = find_place(str(scene.folder))
    with listen_ipc(scene.folder, "public/pickup"), patch("select.poll", _Impatient):
        door = open_door(place, Submission("a@example.org", ("b@example.org",), False, "h"))
        try:
            door.write(b"Subject: x\r\n\r\nbody\r\n")
            door.commit()
        except SubmissionError as error:
            return str(error)
        finally:
            door.close()
    return "taken"
