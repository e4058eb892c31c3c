"""Client of the bounce service: one report a conversation, with the open queue file."""

import asyncio
from typing import Final

from mta.ipc.client import RequestLost
from mta.ipc.messages import BounceReply, Report, Reported
from mta.ipc.pool import ConversationPool
from mta.proto.status import ReportKind
from mta.util.log import Log

__all__ = ["BounceClient", "RequestLost"]

CONNECTION_LIMIT: Final = 20  # reports that one process has made at a time


class BounceClient:
    """Has reports made for the senders of messages that were not delivered."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        log: Log,
        path: str = "private/bounce",
    ) -> None:
        self._pool = ConversationPool[Reported](
            path, BounceReply, loop, timeout, log, limit=CONNECTION_LIMIT
        )

    async def report(self, kind: ReportKind, queue_id: str, descriptor: int) -> str:
        """Have one report made; the queue id under which it is committed, or "": nobody to tell.

        The descriptor must stay open until this returns. Raises `RequestLost` when the service
        died with the request; `Unavailable` when nobody listens, none answers in time, or the
        answer is malformed; `MailError` when it refused. After the first two the report may have
        been made all the same: to ask again is to make another one.
        """
        conversation = self._pool.conversation()
        await conversation.send(Report(kind, queue_id), (descriptor,))
        return (await conversation.reply()).queue_id

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()
