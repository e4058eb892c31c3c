"""What a server offers in its answer to EHLO or LHLO (RFC 5321, 4.1.1.1): lines -> a struct.

    ehlo-line = ehlo-keyword *( SP ehlo-param )

What we do not know, or cannot read, is not offered.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

__all__ = ["NO_EXTENSIONS", "Extensions", "parse_extensions"]


class Extensions(Struct, frozen=True, kw_only=True):
    """The extensions that we have a use for."""

    pipelining: bool = False  # RFC 2920
    size: bool = False  # RFC 1870
    size_limit: int = 0  # octets; 0: none is known
    body_8bit: bool = False  # 8BITMIME, RFC 6152
    starttls: bool = False  # RFC 3207


NO_EXTENSIONS: Final = Extensions()

_DIGITS: Final = 20  # size-value = 1*20DIGIT


def parse_extensions(lines: Iterable[str]) -> Extensions:
    """The extensions in the lines behind the server's name."""
    offered = {}
    for line in lines:
        keyword, *values = line.upper().split() or [""]
        offered[keyword] = values
    return Extensions(
        pipelining="PIPELINING" in offered,
        size="SIZE" in offered,
        size_limit=_size_limit(offered.get("SIZE", [])),
        body_8bit="8BITMIME" in offered,
        starttls="STARTTLS" in offered,
    )


def _size_limit(values: list[str]) -> int:
    """RFC 1870, 4: no value, or 0, means that no fixed limit is in force."""
    if len(values) != 1 or not values[0].isdecimal() or len(values[0]) > _DIGITS:
        return 0
    return int(values[0])
