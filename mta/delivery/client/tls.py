"""How sessions with other hosts are encrypted: the context of each security level.

Opportunistic TLS (RFC 7435): any certificate will do, and no name is asked for (SNI), since a
stranger in the middle could as well take STARTTLS out of the answer to EHLO. A policy that trusts
certificates brings a context of its own here.
"""

import functools
import ssl

from mta.util.tls import anybody_context

__all__ = ["opportunistic"]


@functools.cache
def opportunistic() -> ssl.SSLContext:
    """The context that trusts everyone; one for the process, so that there is one cache."""
    return anybody_context()
