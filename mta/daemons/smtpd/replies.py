"""What smtpd tells a client, beyond what the protocol engine says by itself."""

from typing import Final

from mta.proto.status import Status

__all__ = ["EXPIRED", "INTERNAL", "NO_TLS", "TIMEOUT"]

EXPIRED: Final = Status(421, "4.3.2", "Service is being restarted, come again")
NO_TLS: Final = Status(454, "4.7.0", "TLS not available due to temporary problem")
TIMEOUT: Final = Status(421, "4.4.2", "Error: timeout exceeded")
INTERNAL: Final = Status(451, "4.3.0", "Internal error, try again later")
