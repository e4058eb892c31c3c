"""The header section of a message from this host: who is to get it, what goes, what is added.

    recipients   To Cc Bcc; if there are any, Resent-To Resent-Cc Resent-Bcc instead
    goes         Bcc Resent-Bcc Return-Path Content-Length: Postfix's message_drop_headers
    is added     From, where it is missing

Date and Message-ID are cleanup's to add, and so is the domain of incomplete addresses.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Final

from mta.proto.addresslist import find_addresses

__all__ = ["Header"]

# A line that does not go on with the field before it (RFC 5322, 2.2.3).
_FIELDS: Final = re.compile(rb"(?<=\r\n)(?![ \t])")
_NAMED: Final = ("to", "cc", "bcc")
_RESENT: Final = ("resent-to", "resent-cc", "resent-bcc")
_DROPPED: Final = frozenset({"bcc", "resent-bcc", "return-path", "content-length"})
_PLAIN: Final = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]+")  # a phrase of atoms
_SPECIAL: Final = re.compile(r'(["\\])')
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]+")
_NAME_LIMIT: Final = 256  # characters
_WORD_LIMIT: Final = 42  # octets in an encoded-word, which may have 75 characters (RFC 2047, 2)
_DAEMON: Final = ("MAILER-DAEMON", "Mail Delivery System")  # as bounce says of itself


class Header:
    """The fields of a section whose lines end in CRLF; what ends the section stays."""

    def __init__(self, section: bytes) -> None:
        self._fields = [(_name(field), field) for field in _FIELDS.split(section) if field]

    def recipients(self) -> Iterator[str]:
        """The addresses that the fields name, in their order."""
        present = {name for name, _ in self._fields}
        names = _RESENT if present & set(_RESENT) else _NAMED
        for name, field in self._fields:
            if name in names:
                for span in find_addresses(field.partition(b":")[2]):
                    yield span.address

    def completed(self, sender: str, full_name: str) -> bytes:
        """The section as it goes on its way."""
        kept = [field for name, field in self._fields if name not in _DROPPED]
        if all(name != "from" for name, _ in self._fields):
            kept.insert(0, _from_field(sender, full_name))
        return b"".join(kept)


def _name(field: bytes) -> str:
    return field.partition(b":")[0].rstrip(b" \t").decode("latin-1").lower()


def _from_field(sender: str, full_name: str) -> bytes:
    address, name = (sender, full_name) if sender else _DAEMON
    name = " ".join(_UNPRINTABLE.sub(" ", name).split())[:_NAME_LIMIT]
    if not name:
        return b"From: " + address.encode() + b"\r\n"
    return f"From: {_phrase(name)} <{address}>\r\n".encode()


def _phrase(name: str) -> str:
    """A display name (RFC 5322, 3.4), in encoded-words (RFC 2047) if it is not ASCII."""
    if not name.isascii():
        return "\r\n ".join(map(_encoded_word, _slices(name)))
    if _PLAIN.fullmatch(name):
        return name
    return '"' + _SPECIAL.sub(r"\\\1", name) + '"'


def _slices(text: str) -> Iterator[bytes]:
    """UTF-8 in pieces, none of which ends within a character."""
    piece = b""
    for character in text:
        encoded = character.encode("utf-8", "replace")
        if len(piece) + len(encoded) > _WORD_LIMIT:
            yield piece
            piece = b""
        piece += encoded
    yield piece


def _encoded_word(octets: bytes) -> str:
    return f"=?UTF-8?B?{binascii.b2a_base64(octets, newline=False).decode('ascii')}?="
