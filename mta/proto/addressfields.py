"""The address fields of a header section, and the section with other addresses in them.

    of senders     From Sender Reply-To Errors-To Return-Receipt-To Disposition-Notification-To
                   Mail-Followup-To, and Resent-From -Sender -Reply-To
    of recipients  To Cc Bcc Apparently-To, and Resent-To -Cc -Bcc

These are Postfix's classes header_sender and header_recipient. Whoever rewrites asks about each
address once, and then has the section made: fields in which no address changes keep every octet.
"""

import enum
import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from mta.proto.addresslist import find_addresses, fold, replace_addresses

__all__ = ["AddressFields", "FieldAddress", "FieldClass"]


class FieldClass(enum.Enum):
    """Whose addresses a field has."""

    SENDER = "sender"
    RECIPIENT = "recipient"


class FieldAddress(Struct, frozen=True):
    """An address in its canonical form, and the class of a field that has it."""

    address: str
    field_class: FieldClass


# A whole field without its last CRLF; a bare CR or LF ends no line.
_FIELD: Final = re.compile(
    rb"(?:\A|(?<=\r\n))"
    rb"(?:(?P<sender>(?:Resent-)?(?:From|Sender|Reply-To)|Errors-To|Return-Receipt-To"
    rb"|Disposition-Notification-To|Mail-Followup-To)"
    rb"|(?:Resent-)?(?:To|Cc|Bcc)|Apparently-To)[ \t]*+:"
    rb"(?P<value>[^\r]*+(?:\r(?!\n(?![ \t]))[^\r]*+)*+)",
    re.IGNORECASE,
)


class AddressFields:
    """The address fields of one header section, whose lines end in CRLF."""

    def __init__(self, section: bytes) -> None:
        self._section = section

    def addresses(self) -> Iterator[FieldAddress]:
        """All addresses in their order, each once for every class of fields that it stands in."""
        seen = set()
        for found, field_class in self._fields():
            for span in find_addresses(found["value"]):
                address = FieldAddress(span.address, field_class)
                if address not in seen:
                    seen.add(address)
                    yield address

    def replaced(self, new: Mapping[FieldAddress, str]) -> bytes:
        """The section with addresses replaced; a field that changes fits lines of 998 octets."""
        mine: dict[FieldClass, dict[str, str]] = {each: {} for each in FieldClass}
        for old, address in new.items():
            mine[old.field_class][old.address] = address
        pieces = []
        end = 0
        for found, field_class in self._fields():
            value = found["value"]
            changed = replace_addresses(value, mine[field_class])
            if changed != value:
                name = self._section[found.start() : found.start("value")]
                pieces += [self._section[end : found.start()], fold(name + changed)]
                end = found.end()
        pieces.append(self._section[end:])
        return b"".join(pieces)

    def _fields(self) -> Iterator[tuple[re.Match[bytes], FieldClass]]:
        for found in _FIELD.finditer(self._section):
            yield found, FieldClass.SENDER if found["sender"] else FieldClass.RECIPIENT
