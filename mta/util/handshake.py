"""TLS under a loop: the handshake, whichever side we are, and what it agreed on."""

import asyncio
import ssl
from typing import Final

__all__ = ["describe", "start_tls"]

_SHUTDOWN_TIMEOUT: Final = 10.0  # seconds that a peer has for saying goodbye in TLS, too


async def start_tls(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    *,
    patience: float,
    write_ahead: int,
) -> asyncio.Transport:
    """Put TLS between transport and protocol; the transport that the protocol has from now on.

    On whose side depends on the context. `write_ahead` octets may wait until the peer reads.
    OSError (ssl.SSLError is one) tells why it failed, within `patience` seconds; whether the
    protocol hears of connection_lost then, too, is left to chance.
    """
    secure = await loop.start_tls(
        transport,
        protocol,
        context,
        server_side=context.protocol == ssl.PROTOCOL_TLS_SERVER,
        ssl_handshake_timeout=patience,
        ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT,
    )
    # uvloop takes it for a success, too, when the connection is lost in the middle.
    if secure is None or secure.is_closing():
        raise ConnectionAbortedError("connection lost")
    secure.set_write_buffer_limits(high=write_ahead, low=write_ahead // 4)
    return secure


def describe(transport: asyncio.Transport) -> str:
    """The protocol and the cipher of a connection, in Postfix's words."""
    connection: ssl.SSLObject = transport.get_extra_info("ssl_object")
    name, _, bits = connection.cipher() or ("unknown", "", 0)
    return f"{connection.version()} with cipher {name} ({bits} bits)"
