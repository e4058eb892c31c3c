"""The envelope: who sends, who receives, and where a message came in (RFC 5321, 2.3.1).

Frozen and bounded: these structs cross process borders and come back out of queue files, so their
limits are checked whenever one is decoded. Addresses carry no angle brackets; the null
reverse-path is the empty string.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

__all__ = ["FORWARDED", "LOCAL", "Address", "Envelope", "HostName", "Origin", "Recipient"]

# RFC 5321, 4.5.3.1: 256 octets of path; room for the quoting that canonical form may add.
Address = Annotated[str, Meta(max_length=320, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
HostName = Annotated[str, Meta(max_length=255, pattern=r"\A[^\x00-\x20\x7f]*\Z")]

# The protocol of what local submits anew: nobody's header is completed, no copy is made again.
FORWARDED: Final = "FORWARD"


LOCAL: Final = "LOCAL"  # the protocol of what a user of this host hands in; `helo` is the user id


class Origin(Struct, frozen=True, array_like=True):
    """The client that handed the message in: what the Received field tells (RFC 5321, 4.4)."""

    protocol: Annotated[str, Meta(max_length=16, pattern=r"\A[A-Z0-9]*\Z")]  # SMTP, ESMTP, ...
    client_address: HostName  # "127.0.0.1", "::1", or "" for a local submission
    client_port: Annotated[int, Meta(ge=0, le=65535)]
    helo: HostName
    service: HostName  # the row of the service table that took it in


class Recipient(Struct, frozen=True, array_like=True):
    """One recipient: the address in force and the one that the sender gave."""

    address: Address
    original: Address


class Envelope(Struct, frozen=True, array_like=True):
    """A whole envelope as it lies in the queue file."""

    sender: Address
    recipients: tuple[Recipient, ...]
    origin: Origin
    arrived: Annotated[float, Meta(ge=0, le=2**40)]  # seconds since the epoch, set by cleanup
    body_8bit: bool  # the client declared BODY=8BITMIME (RFC 6152)
