"""TLS in smtpd: the handshake, and a certificate that is read again when its files change.

    the files        a session that wants TLS
    a sound pair     gets it, with the pair that the files hold now
    a broken pair    gets it, with the pair that they held before
    never sound      is told to come later (454), and may go on in plain text

What is wrong is said once for each change. Who renews a certificate replaces one file after the
other: between the two they do not match, and the next look finds the end of it.
"""

import asyncio
import os
import ssl
import time
from typing import Final

from mta.util.log import Log
from mta.util.tls import server_context

__all__ = ["Certificate", "describe", "shake_hands"]

_HANDSHAKE_TIMEOUT: Final = 300.0  # seconds at most: Postfix's smtpd_starttls_timeout
_SHUTDOWN_TIMEOUT: Final = 10.0  # seconds that a client has for saying goodbye in TLS, too
_WRITE_AHEAD: Final = 65536  # octets that wait until the client reads: as many as without TLS
_LOOK_INTERVAL: Final = 1.0  # seconds between two looks whether a file has changed

Identity = tuple[int, int, int, int]  # of a file: what no replacement leaves as it was


class Certificate:
    """One certificate with its key; satisfies whoever begins a handshake."""

    def __init__(self, certificate: str, key: str, log: Log) -> None:
        self._certificate = certificate
        self._key = key
        self._log = log
        self._context: ssl.SSLContext | None = None
        self._seen: tuple[Identity | None, ...] | None = None
        self._next_look = 0.0

    def context(self) -> ssl.SSLContext | None:
        """What to begin a handshake with; None while there never was a sound pair."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_INTERVAL
            # Looked at before they are read: what changes meanwhile is seen the next time.
            found = tuple(_identity(path) for path in (self._certificate, self._key) if path)
            if found != self._seen:
                self._seen = found
                self._read()
        return self._context

    def _read(self) -> None:
        try:
            self._context = server_context(self._certificate, self._key)
        except (OSError, ValueError) as error:
            self._log.error(
                "certificate_unusable",
                certificate=self._certificate,
                key=self._key,
                reason=str(error),
                in_use="the one before" if self._context is not None else "none",
            )
        else:
            self._log.info("certificate_read", certificate=self._certificate)


async def shake_hands(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    patience: float,
) -> asyncio.Transport:
    """Put TLS between transport and protocol; the transport that the protocol has from now on.

    OSError tells why it failed, within `patience` seconds; whether the protocol hears of
    connection_lost then, too, is left to chance.
    """
    secure = await loop.start_tls(
        transport,
        protocol,
        context,
        server_side=True,
        ssl_handshake_timeout=min(patience, _HANDSHAKE_TIMEOUT),
        ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT,
    )
    # uvloop takes it for a success, too, when the connection is aborted on our side.
    if secure is None or secure.is_closing():
        raise ConnectionAbortedError("connection lost")
    secure.set_write_buffer_limits(high=_WRITE_AHEAD)
    return secure


def describe(connection: ssl.SSLObject) -> str:
    """The protocol and the cipher of a connection, in Postfix's words."""
    name, _, bits = connection.cipher() or ("unknown", "", 0)
    return f"{connection.version()} with cipher {name} ({bits} bits)"


def _identity(path: str) -> Identity | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
