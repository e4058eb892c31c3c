"""Client of the lookup service: what the tables of a parameter have, whoever may open them.

Answers are not remembered here: their askers know how long they hold.
"""

import asyncio
from collections.abc import Sequence

from mta.ipc.client import ServiceClient, Unavailable
from mta.ipc.messages import Find, Found, LookupReply
from mta.lookup.table import Hit, Key
from mta.util.log import Log

__all__ = ["LookupClient"]


class LookupClient:
    """Asks for the tables as one row sees them; a table that fails is a MailError, 451 4.3.0."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        log: Log,
        row: str,
        path: str = "private/lookup",
    ) -> None:
        self._row = row
        self._service = ServiceClient[Found](path, LookupReply, loop, timeout, log)

    async def find(self, parameter: str, keys: Sequence[Key]) -> Hit | None:
        """The first key that a table has, and its value."""
        request = Find(self._row, parameter, tuple(keys))
        reply = await self._service.request(request, idempotent=True)
        if reply.key < 0:
            return None
        if reply.key >= len(keys):
            raise Unavailable(f"lookup: key {reply.key} of {len(keys)}")
        return Hit(reply.key, reply.value)

    def close(self) -> None:
        """Close the connection."""
        self._service.close()
