"""Client of the delivery agents: one request a conversation, with the open queue file."""

import asyncio

from mta.ipc.client import RequestLost
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
        self._pool = ConversationPool[Outcomes](
            path, DeliveryReply, loop, timeout, log, limit=limit
        )

    async def deliver(self, request: Deliver, descriptor: int) -> Outcomes:
        """Have one message delivered; whose outcomes the reply holds is the agent's word alone.

        The descriptor must stay open until this returns. Raises `RequestLost` when the agent died
        with the request, which is then to be tried again and is no failed attempt; `Unavailable`
        when nobody listens, none answers in time, or the answer is malformed; `MailError` when
        the agent refused the request as a whole.
        """
        conversation = self._pool.conversation()
        await conversation.send(request, (descriptor,))
        return await conversation.reply()

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()
