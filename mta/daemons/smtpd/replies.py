"""What smtpd tells a client, beyond what the protocol engine says by itself."""

from typing import Final

from mta.proto.status import Status

__all__ = ["EXPIRED", "INTERNAL", "NO_TLS", "TIMEOUT", "queued", "relay_denied"]

EXPIRED: Final = Status(421, "4.3.2", "Service is being restarted, come again")
NO_TLS: Final = Status(454, "4.7.0", "TLS not available due to temporary problem")
TIMEOUT: Final = Status(421, "4.4.2", "Error: timeout exceeded")
INTERNAL: Final = Status(451, "4.3.0", "Internal error, try again later")


def queued(queue_id: str) -> Status:
    """The message is ours from now on."""
    return Status(250, "2.0.0", f"Ok: queued as {queue_id}")


def relay_denied(address: str) -> Status:
    """The client may not send to that address through us."""
    return Status(554, "5.7.1", f"<{address}>: Relay access denied")
