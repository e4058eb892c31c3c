"""Client of the lookup service: what the tables of a parameter have for the first of some keys.

For tables that may block, or that only the service may read. Nothing is remembered here.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from mta.ipc.client import ServiceClient, Unavailable
from mta.ipc.messages import Find, Found, Key, LookupReply
from mta.lookup.table import KEY_LIMIT, Hit
from mta.util.log import Log

__all__ = ["LookupClient"]

_KEYS_LIMIT: Final = 16  # of one request (Find)
_OCTETS_LIMIT: Final = 32_768  # of the keys of one request, so that they fit a frame


class LookupClient:
    """Asks the service for the tables of parameters as the row `row` sees them."""

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
        """What the parameter's tables have for the first key that one of them has.

        Raises `MailError` 451 4.3.0 when a table gives no answer, or the service does not within
        `timeout` seconds; for a key that is longer than any table's.
        """
        first = 0
        for portion in _portions(parameter, keys):
            request = Find(self._row, parameter, portion)
            reply = await self._service.request(request, idempotent=True)
            if reply.key >= len(portion):
                raise Unavailable(f"lookup: an answer for key {reply.key} of {len(portion)}")
            if reply.key >= 0:
                return Hit(first + reply.key, reply.value)
            first += len(portion)
        return None

    def close(self) -> None:
        """Close the connection."""
        self._service.close()


def _portions(parameter: str, keys: Sequence[Key]) -> Iterator[tuple[Key, ...]]:
    """The keys in order, as many at a time as a request takes."""
    portion: list[Key] = []
    octets = 0
    for key in keys:
        if len(key.text) > KEY_LIMIT:
            raise Unavailable(f"lookup: {parameter}: a key of more than {KEY_LIMIT} characters")
        size = len(key.text.encode("utf-8", "surrogatepass"))
        if portion and (len(portion) == _KEYS_LIMIT or octets + size > _OCTETS_LIMIT):
            yield tuple(portion)
            portion, octets = [], 0
        portion.append(key)
        octets += size
    if portion:
        yield tuple(portion)
