"""TLS under a loop: contexts, the handshake, and what it agreed on.

TLS 1.2 and up (RFC 8996); no renegotiation, for it costs the server more than the client.
"""

import asyncio
import ssl
from typing import Final

__all__ = ["anybody_context", "describe", "server_context", "start_tls"]

_SHUTDOWN_TIMEOUT: Final = 10.0  # seconds that a peer has for saying goodbye in TLS, too


def anybody_context() -> ssl.SSLContext:
    """A client's context that takes any certificate: opportunistic TLS (RFC 7435)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def server_context(certificate: str, key: str = "") -> ssl.SSLContext:
    """A context for the certificate with its chain, and the key; "": it is in the same file.

    OSError names the file that cannot be read; ValueError tells what is wrong with the pair.
    """
    for path in (certificate, key):
        if path:
            with open(path, "rb"):  # OpenSSL's own complaint names no file
                pass
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, key or None, password=_no_password)
    except ssl.SSLError as error:
        raise ValueError(_explanation(error)) from error
    return context


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


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    raise ValueError("the private key is encrypted: a daemon has nobody to ask for its passphrase")


def _explanation(error: ssl.SSLError) -> str:
    reason: str | None = error.reason  # typeshed knows no error without one; OpenSSL does
    match reason:
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH" | "NO_CERTIFICATE_ASSIGNED":
            return "the private key does not belong to the certificate"
        case None | "NO_START_LINE" | "PEM_LIB":
            return "no certificate with its private key in PEM form"
        case _:
            return reason.lower().replace("_", " ")
