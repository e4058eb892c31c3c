"""Whether the files that smtpd's TLS needs are there, fit together, and keep their secret."""

import os
from typing import Final

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.util.tls import server_context

__all__ = ["TLS_PARAMETERS", "CertificateProblem", "certificate_problem"]

_CERTIFICATE: Final = "smtpd_tls_cert_file"
_KEY: Final = "smtpd_tls_key_file"
_LEVEL: Final = "smtpd_tls_security_level"
TLS_PARAMETERS: Final = (_CERTIFICATE, _KEY, _LEVEL)


class CertificateProblem(Struct, frozen=True):
    """What is wrong, and which parameter is to blame."""

    parameter: str
    text: str


def certificate_problem(parameters: Parameters) -> CertificateProblem | None:
    """The first thing that keeps smtpd from TLS at the level it is set to."""
    level = parameters.smtpd_tls_security_level
    certificate, key = parameters.smtpd_tls_cert_file, parameters.smtpd_tls_key_file
    if level == "none":
        return None
    if not certificate:
        return CertificateProblem(_CERTIFICATE, f"required, for {_LEVEL} is {level}")
    for parameter, path in ((_CERTIFICATE, certificate), (_KEY, key)):
        if path and os.path.dirname(os.path.normpath(path)) == "/":
            text = "smtpd may read all of the folder that it lies in: put it in one of its own"
            return CertificateProblem(parameter, text)
    return _problem_of_files(certificate, key)


def _problem_of_files(certificate: str, key: str) -> CertificateProblem | None:
    secret, parameter = (key, _KEY) if key else (certificate, _CERTIFICATE)
    try:
        server_context(certificate, key)
        mode = os.stat(secret).st_mode
    except OSError as error:
        parameter = _KEY if error.filename == key else _CERTIFICATE
        return CertificateProblem(parameter, f"{error.filename}: {error.strerror}")
    except ValueError as error:
        return CertificateProblem(_CERTIFICATE, str(error))
    if mode & 0o007:
        text = f"everybody may read the private key in {secret}: chmod o= {secret}"
        return CertificateProblem(parameter, text)
    return None
