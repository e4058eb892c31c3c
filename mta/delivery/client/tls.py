"""How sessions with other hosts are encrypted: the contexts of the security levels.

Opportunistic TLS (RFC 7435) asks for no certificate that could be checked: whoever would accept
plain text gains by any encryption. A policy that names certificates gets a context of its own.
"""

import functools
import typing

if typing.TYPE_CHECKING:
    import ssl

__all__ = ["opportunistic_context"]


@functools.cache
def opportunistic_context() -> "ssl.SSLContext":
    """TLS 1.2 or later, whatever the server's certificate."""
    import ssl  # noqa: PLC0415 - 15 ms of a cold start, and many a host is sent nothing over TLS

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
