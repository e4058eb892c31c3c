"""The client's side of STARTTLS (RFC 3207): a handshake, and what it agreed on.

Opportunistic TLS (RFC 7435): any certificate will do, and no name is asked for (SNI), since a
stranger in the middle could as well take STARTTLS out of the answer to EHLO. TLS 1.2 and up
(RFC 8996). A policy that trusts certificates brings a context of its own here.
"""

import asyncio
import functools
import ssl
from typing import Final

__all__ = ["describe", "opportunistic", "start_tls"]

_HIGH_WATER: Final = 1  # octets: pause when the layer below does not take all


@functools.cache
def opportunistic() -> ssl.SSLContext:
    """The context that trusts everyone; one for the process, so that there is one cache."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def start_tls(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    patience: float,
) -> asyncio.Transport:
    """Put TLS between transport and protocol; the transport that the protocol has from now on.

    OSError (ssl.SSLError is one) tells why it failed, within `patience` seconds.
    """
    secure = await loop.start_tls(transport, protocol, context, ssl_handshake_timeout=patience)
    # uvloop takes it for a success, too, when the connection is lost in the middle.
    if secure is None or secure.is_closing():
        raise ConnectionAbortedError("connection lost")
    secure.set_write_buffer_limits(high=_HIGH_WATER, low=0)
    return secure


def describe(transport: asyncio.Transport) -> str:
    """Protocol and cipher, in Postfix's words."""
    secure: ssl.SSLObject = transport.get_extra_info("ssl_object")
    name, _, bits = secure.cipher() or ("unknown", "", 0)
    return f"{secure.version()} with cipher {name} ({bits} bits)"
