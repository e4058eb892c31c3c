"""What a TLS handshake needs: a server's certificate with its key, or a client that trusts anybody.

TLS 1.2 and up (RFC 8996); no renegotiation, for it costs the server more than the client.
"""

import ssl

__all__ = ["anybody_context", "server_context"]


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
