"""Client of the queue manager: notifications, which may be lost, and an operator's requests."""

import asyncio

from mta.ipc.client import ServiceClient
from mta.ipc.messages import ARRIVED_LIMIT, Accepted, Arrived, Flush, GiveUp, QmgrReply
from mta.util.log import Log

__all__ = ["QmgrClient"]


class QmgrClient:
    """Talks to qmgr over one kept connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        log: Log,
        path: str = "public/qmgr",
    ) -> None:
        self._service = ServiceClient[Accepted](path, QmgrReply, loop, timeout, log)
        self._loop = loop
        self._arrived: list[str] = []

    def notify_arrived(self, queue_id: str) -> None:
        """Say that a message is in incoming; never waits: qmgr's scan finds what gets lost.

        What a batch of commits brings in one turn of the loop is one frame.
        """
        self._arrived.append(queue_id)
        if len(self._arrived) == 1:
            self._loop.call_soon(self._tell)
        elif len(self._arrived) == ARRIVED_LIMIT:
            self._tell()

    def _tell(self) -> None:
        arrived, self._arrived = self._arrived, []
        if arrived:
            self._service.notify(Arrived(tuple(arrived)))

    async def flush(self, queue_id: str = "") -> int:
        """Have deferred mail tried now, one message or all; the number of messages concerned.

        Raises `MailError` when qmgr refused or is unavailable.
        """
        self._tell()
        return (await self._service.request(Flush(queue_id), idempotent=True)).count

    async def give_up(self, queue_id: str) -> int:
        """Have one message returned to its sender now; 0 when qmgr has no such message.

        qmgr remembers it only until it has done so or ends. Raises `MailError` when qmgr refused
        or is unavailable.
        """
        self._tell()
        return (await self._service.request(GiveUp(queue_id), idempotent=True)).count

    def close(self) -> None:
        """Close the connection."""
        self._tell()
        self._service.close()
