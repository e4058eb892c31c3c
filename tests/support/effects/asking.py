"""What showq answers a user of this host who is neither root nor the queue's owner."""

import asyncio
import socket
from collections.abc import Callable
from unittest.mock import patch

from mta.daemons.showq.handler import ShowqHandler
from mta.ipc.frames import FrameReader, encode
from mta.ipc.messages import (
    FRAME_LIMIT,
    Accepted,
    Goodbye,
    Listed,
    Refused,
    ShowqReply,
    ShowqRequest,
)
from mta.queue.layout import create_layout
from support.effects.scene import Scene
from support.users import STRANGER

__all__ = ["answer_to"]

_READER = FrameReader[Listed | Accepted | Refused | Goodbye](ShowqReply)
_CREDENTIALS = "mta.master.callers.peer_credentials"


def answer_to(request: ShowqRequest) -> Callable[[Scene], str]:
    """A look at the answer to a request about an empty queue."""

    async def scenario(scene: Scene) -> str:
        handler = ShowqHandler(scene.context("qmgr"))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        ended = asyncio.Event()
        with patch(_CREDENTIALS, return_value=(1, int(STRANGER))):
            session = handler.connect(ours, "", ended.set)
        theirs.send(encode(1, request))
        data = await asyncio.get_running_loop().sock_recv(theirs, FRAME_LIMIT)
        session.abort()
        await ended.wait()
        theirs.close()
        await handler.stop()
        _, reply = _READER.take(data, (), 0)
        if isinstance(reply, Refused):
            return str(reply.status)
        return f"{len(reply.messages)} listed" if isinstance(reply, Listed) else "accepted"

    def look(scene: Scene) -> str:
        create_layout(str(scene.folder))
        return scene.play(scenario(scene))

    return look
