"""What holds for every session of a row."""

from msgspec import Struct

from mta.daemons.smtpd.tls import Certificate
from mta.proto.smtp.server import Limits, TlsLevel

__all__ = ["Terms"]


class Terms(Struct, frozen=True, kw_only=True):
    """Made once, from the row's parameters."""

    service: str
    hostname: str
    banner: str
    timeout: float  # seconds
    min_data_rate: int  # octets a second
    limits: Limits
    soft_bounce: bool  # what would be refused for good is refused for now
    tls: TlsLevel
    certificate: Certificate  # of no interest at the level NONE
