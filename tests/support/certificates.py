"""Certificates of the test's own: a key and a self-signed certificate in PEM files."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Pair", "make_pair"]


@dataclass(frozen=True)
class Pair:
    """Where certificate and key lie, and what a client gets to see of them."""

    certificate: Path
    key: Path
    der: bytes  # the certificate

    def move_to(self, other: "Pair") -> None:
        """Take the other pair's place, by renames as who renews certificates does it."""
        self.key.rename(other.key)
        self.certificate.rename(other.certificate)


def make_pair(
    folder: Path,
    name: str = "posthouse.test",
    passphrase: bytes = b"",
    *,
    begins: dt.timedelta = dt.timedelta(days=-1),
    ends: dt.timedelta = dt.timedelta(days=90),
) -> Pair:
    """Make NAME.crt and NAME.key in the folder; a passphrase encrypts the key.

    The certificate is valid from `begins` to `ends`, both from now.
    """
    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    pem = serialization.Encoding.PEM
    pair = Pair(
        folder / f"{name}.crt",
        folder / f"{name}.key",
        certificate.public_bytes(serialization.Encoding.DER),
    )
    pair.certificate.write_bytes(certificate.public_bytes(pem))
    pair.key.touch(0o600)
    pair.key.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption),
    )
    return pair
