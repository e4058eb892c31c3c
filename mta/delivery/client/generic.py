"""smtp_generic_maps: the addresses of a message as hosts elsewhere are to see them.

Envelope and header section are rewritten before the message is offered to anybody; the rest of the
content goes from the queue file as ever. What is reported and logged bears the addresses of the
queue: they are the ones that mean something here. Each address is asked about once. Where rewrite
gives no answer, or a header section would outgrow `header_size_limit`, the message waits (451).
"""

import asyncio
import re
from typing import Final

from msgspec import Struct

from mta.delivery.content import ContentReader
from mta.ipc.messages import AddressRole, Deliver
from mta.ipc.rewrite import RewriteClient
from mta.proto.addressfields import AddressFields
from mta.proto.status import MailError, temporary

__all__ = ["Appearance", "GenericMaps"]

_OWN_FIELDS: Final = 4096  # octets, at most, that cleanup puts before a header section
_TURN: Final = 64  # remembered answers that are used before others have their turn


# The end of a field that another one follows.
_FIELD_END: Final = re.compile(rb"\r\n(?=[^ \t])")


class Appearance(Struct, frozen=True):
    """How a message looks to other hosts; `addresses` are those of its envelope that change."""

    addresses: dict[str, str]
    content: ContentReader

    def of(self, address: str) -> str:
        """The address of the envelope as others see it."""
        return self.addresses.get(address, address)


class GenericMaps:
    """Asks rewrite what the tables make of a message."""

    def __init__(self, client: RewriteClient, header_size_limit: int) -> None:
        self._client = client
        self._limit = header_size_limit + _OWN_FIELDS

    async def appearance(self, request: Deliver, content: ContentReader) -> Appearance:
        """The message as others are to see it; a temporary MailError if that is not known."""
        section = content.headers(self._limit)
        if len(section) >= self._limit:
            section = _whole_fields(section)
        fields = AddressFields(section)
        envelope = {request.sender, *(recipient.address for recipient in request.recipients)}
        found = list(fields.addresses())
        new = await self._ask(envelope - {""} | {each.address for each in found})
        if new:
            replaced = fields.replaced(
                {each: new[each.address] for each in found if each.address in new}
            )
            if len(replaced) > max(self._limit, len(section)):
                reason = "the header section outgrows header_size_limit"
                temporary("4.3.4", "Header section too large", f"smtp_generic_maps: {reason}")
            if replaced != section:
                content = content.with_beginning(replaced, len(section))
        return Appearance({old: new[old] for old in envelope & new.keys()}, content)

    async def _ask(self, addresses: set[str]) -> dict[str, str]:
        """Those that change, and what they become."""
        new = {}
        for count, address in enumerate(sorted(addresses), 1):
            try:
                rewritten = await self._client.rewrite(address, AddressRole.GENERIC)
            except MailError as error:
                raise MailError(error.status.softened, error.reason) from error
            if rewritten.address != address:
                new[address] = rewritten.address
            if count % _TURN == 0:
                await asyncio.sleep(0)  # what is remembered comes without waiting
        return new


def _whole_fields(section: bytes) -> bytes:
    """A section that was cut, up to the end of its last whole field.

    Such a message came while header_size_limit was higher; what is beyond stays as it is.
    """
    ends = [found.end() for found in _FIELD_END.finditer(section)]
    return section[: ends[-1]] if ends else b""
