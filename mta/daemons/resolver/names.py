"""Host names, held to one form and to their bounds before anything is asked or believed.

At most 253 characters in labels of at most 63, each of letters, digits and inner hyphens (RFC 1035,
2.3; RFC 1123, 2.1); the underscore is taken too, for there are hosts named so.
"""

import ipaddress
import re
from typing import Final

__all__ = ["host_name", "is_localhost", "literal_address"]

NAME_LIMIT: Final = 253  # characters: 255 octets on the wire

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def host_name(text: str) -> str:
    """A name in lower case, without the final dot; ValueError if it is none."""
    name = text.removesuffix(".").lower()
    if len(name) > NAME_LIMIT or not name.isascii() or not _HOST_NAME.fullmatch(name):
        raise ValueError(f"not a host name: {text[:300]!a}")
    return name


def literal_address(text: str) -> str | None:
    """The address that the text is, in its usual form; None if it is none."""
    if "%" in text:  # a zone (RFC 4007, 11) means something on its own host only
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def is_localhost(name: str) -> bool:
    """Whether a name is this host by definition (RFC 6761, 6.3)."""
    return name == "localhost" or name.endswith(".localhost")
