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
    """Puts one netstring of at most `limit` octets together, piece by piece."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    @property
    def wanted(self) -> int:
        """Octets that it takes at least to go on; never one of what may follow."""
        colon = self._data.find(b":")
        return 1 if colon < 0 else colon + 2 + int(self._data[:colon]) - len(self._data)

    def feed(self, data: bytes) -> bytes | None:
        """Take at most `wanted` octets; the content, once it is whole.

        NetstringError as soon as it cannot become one.
        """
        self._data += data
        colon = self._data.find(b":")
        head = self._data if colon < 0 else self._data[:colon]
        if head.strip(_DIGITS) or (colon == 0) or (len(head) > 1 and head.startswith(b"0")):
            raise NetstringError("expected LENGTH:OCTETS,")
        if head and int(head[: len(str(self._limit)) + 1]) > self._limit:
            raise NetstringError(f"expected at most {self._limit} octets")
        if colon < 0 or self.wanted:
            return None
        if not self._data.endswith(b","):
            raise NetstringError("expected a comma at the end")
        return bytes(self._data[colon + 1 : -1])
