"""Netstrings (D. J. Bernstein, 1997): LENGTH:OCTETS, without IO."""

from typing import Final

__all__ = ["NetstringError", "NetstringReader", "encode_netstring"]

_DIGITS: Final = b"0123456789"


class NetstringError(Exception):
    """The octets are no netstring, or one that is too long; the text says why."""


def encode_netstring(text: bytes) -> bytes:
    """The octets with their length."""
    return b"%d:%b," % (len(text), text)


class NetstringReader:
    """Puts one netstring of at most `limit` octets together, piece by piece; nothing follows it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """Take some octets; the content, once it is whole.

        NetstringError as soon as it cannot become one, or more has come.
        """
        self._data += data
        head, colon, _ = self._data.partition(b":")
        if head.strip(_DIGITS) or (colon and not head) or (len(head) > 1 and head[0] == _DIGITS[0]):
            raise NetstringError("expected LENGTH:OCTETS,")
        if head and int(head[: len(str(self._limit)) + 1]) > self._limit:
            raise NetstringError(f"expected at most {self._limit} octets")
        if not colon:
            return None
        start = len(head) + 1
        end = start + int(head)
        if len(self._data) > end + 1:
            raise NetstringError("expected nothing after the comma")
        if len(self._data) <= end:
            return None
        if self._data[end:] != b",":
            raise NetstringError("expected a comma at the end")
        return bytes(self._data[start:end])
