"""Whether the files that smtpd's TLS needs are there, fit together, hold, and keep their secret.

error     what keeps clients from TLS, or gives the key away
warning   what soon will, or what a client that looks closely would not like
"""

import datetime as dt
import os
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from mta.config.problems import Severity
from mta.config.whole import View
from mta.util.regular import NotRegularError, TooLargeError, read_regular
from mta.util.tls import server_context

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["TLS_PARAMETERS", "check_certificate", "check_certificate_name"]

_CERTIFICATE: Final = "smtpd_tls_cert_file"
_KEY: Final = "smtpd_tls_key_file"
_LEVEL: Final = "smtpd_tls_security_level"
TLS_PARAMETERS: Final = (_CERTIFICATE, _KEY, _LEVEL)
_SIZE_LIMIT: Final = 1024 * 1024  # octets
_SOON: Final = dt.timedelta(days=14)


def check_certificate(view: View) -> None:
    """Note what keeps smtpd from TLS at the level it is set to, or soon will."""
    level = view.parameters.smtpd_tls_security_level
    certificate, key = view.parameters.smtpd_tls_cert_file, view.parameters.smtpd_tls_key_file
    if level == "none":
        return
    if not certificate:
        expected = f"{_CERTIFICATE} to name a certificate, for {_LEVEL} is {level}"
        _complain(view, _CERTIFICATE, expected, "nothing")
        return
    for parameter, path in ((_CERTIFICATE, certificate), (_KEY, key)):
        if path and os.path.dirname(os.path.normpath(path)) == "/":
            expected = "a file in a folder of its own, for smtpd may read all of the folder"
            _complain(view, parameter, expected, path)
            return
    if _fits(view, certificate, key):
        chain = _chain(certificate)
        _check_order(view, chain)
        _check_time(view, chain)


def check_certificate_name(view: View) -> None:
    """Warn of a certificate for other names than the one that clients know us by."""
    parameters = view.parameters
    if parameters.smtpd_tls_security_level == "none" or not parameters.smtpd_tls_cert_file:
        return
    chain = _chain(parameters.smtpd_tls_cert_file)
    names = _names(chain[0]) if chain else ()
    name, parent = parameters.myhostname, parameters.myhostname.partition(".")[2]
    if names and name not in names and f"*.{parent}" not in names:
        expected = f"a certificate for myhostname, {name}"
        view.complain(
            (*TLS_PARAMETERS, "myhostname"),
            expected,
            f"one for {', '.join(names)}",
            severity=Severity.WARNING,
        )


def _fits(view: View, certificate: str, key: str) -> bool:
    """Whether the pair can be read and fits; what is wrong with it is noted."""
    secret, parameter = (key, _KEY) if key else (certificate, _CERTIFICATE)
    expected = "a file that can be read"
    for name, path in ((_CERTIFICATE, certificate), (_KEY, key)):
        try:
            if path:
                read_regular(path, _SIZE_LIMIT)
        except OSError as error:
            _complain(view, name, expected, f"{path}: {error.strerror}")
            return False
        except (NotRegularError, TooLargeError) as error:
            _complain(view, name, "a regular file", f"{path}: {error}")
            return False
    try:
        server_context(certificate, key)
        mode = os.stat(secret).st_mode
    except OSError as error:
        _complain(view, parameter, expected, f"{error.filename}: {error.strerror}")
        return False
    except ValueError as error:
        expected = "a certificate and its private key, in PEM form and without a passphrase"
        _complain(view, _CERTIFICATE, expected, f"a pair that is none ({error})")
        return False
    if mode & 0o007:
        expected = "a private key that others cannot read"
        found = f"{secret}, mode {mode & 0o7777:04o}"
        _complain(view, parameter, expected, found, f"chmod o= {secret}")
    return True


def _chain(path: str) -> "list[Certificate]":
    """The certificates of a file, in its order; none if there are none to be read."""
    from cryptography import x509  # noqa: PLC0415 - it takes its time, and TLS may be off

    try:
        return x509.load_pem_x509_certificates(read_regular(path, _SIZE_LIMIT))
    except (OSError, NotRegularError, TooLargeError, ValueError):
        return []  # `check_certificate` has said it, or OpenSSL takes it nevertheless


def _check_order(view: View, chain: "list[Certificate]") -> None:
    """RFC 8446, 4.4.2: each certificate should certify the one before it."""
    for below, above in pairwise(chain):
        if below.issuer != above.subject:
            expected = f"the certificate of {below.issuer.rfc4514_string()} next in the chain"
            found = f"that of {above.subject.rfc4514_string()}"
            _complain(view, _CERTIFICATE, expected, found, "put each issuer after what it issued")
            return


def _check_time(view: View, chain: "list[Certificate]") -> None:
    now = dt.datetime.now(dt.UTC)
    for certificate in chain:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        who = certificate.subject.rfc4514_string()
        if not begin <= now <= end:
            found = f"{who}, valid from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
            _complain(view, _CERTIFICATE, "a certificate that is valid now", found, "renew it")
            return
        if end - now < _SOON:
            view.complain(
                TLS_PARAMETERS,
                f"a certificate that is valid for another {_SOON.days} days",
                f"{who}, valid to {end:%Y-%m-%d %H:%M} UTC",
                "renew it",
                severity=Severity.WARNING,
            )
            return


def _names(certificate: "Certificate") -> tuple[str, ...]:
    from cryptography import x509  # noqa: PLC0415 - as above

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


def _complain(view: View, parameter: str, expected: str, found: str, way_out: str = "") -> None:
    view.complain((parameter, *TLS_PARAMETERS), expected, found, way_out)
