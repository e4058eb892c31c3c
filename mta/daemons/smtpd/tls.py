"""TLS in smtpd: a certificate that is read again when its files change.

    the files        a session that wants TLS
    a sound pair     gets it, with the pair that the files hold now
    a broken pair    gets it, with the pair that they held before
    never sound      is told to come later (454), and may go on in plain text

What is wrong is said once for each change. Who renews a certificate replaces one file after the
other: between the two they do not match, and the next look finds the end of it.
"""

import os
import ssl
import time
from typing import Final

from mta.util.log import Log
from mta.util.tls import server_context

__all__ = ["HANDSHAKE_TIMEOUT", "Certificate"]

HANDSHAKE_TIMEOUT: Final = 300.0  # seconds at most: Postfix's smtpd_starttls_timeout
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


def _identity(path: str) -> Identity | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
