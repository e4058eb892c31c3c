"""Client of the delivery agents: one request a conversation, with the open queue file."""

import asyncio

from mta.ipc.client import RequestLost, Unavailable
from mta.ipc.messages import Deliver, DeliveryReply, Outcomes
from mta.ipc.pool import ConversationPool
from mta.util.log import Log

__all__ = ["DeliveryClient", "RequestLost"]


class DeliveryClient:
    """Delivers through the agents of one transport, `limit` requests at a time."""

    def __init__(
        self,
        path: str,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        log: Log,
        limit: int,
    ) -> None:
        self._path = path
        self._pool = ConversationPool[Outcomes](
            path, DeliveryReply, loop, timeout, log, limit=limit
        )

    async def deliver(self, request: Deliver, descriptor: int) -> Outcomes:
        """Have one message delivered; exactly one outcome for each recipient of the request.

        The descriptor must stay open until this returns. Raises `RequestLost` when the agent died
        with the request, which is then to be tried again and is no failed attempt; `Unavailable`
        when nobody listens, none answers in time, or the answer is malformed; `MailError` when
        the agent refused the request as a whole.
        """
        conversation = self._pool.conversation()
        await conversation.send(request, (descriptor,))
        reply = await conversation.reply()
        asked = sorted(recipient.index for recipient in request.recipients)
        if sorted(outcome.index for outcome in reply.outcomes) != asked:
            raise Unavailable(f"{self._path}: outcomes that do not match the recipients")
        return reply

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()
