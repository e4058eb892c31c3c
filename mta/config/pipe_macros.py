"""The macros of pipe_command, as the check and the daemon know them (Postfix: pipe(8))."""

from typing import Final

__all__ = ["CLIENT_MACROS", "MACROS", "RECIPIENT_MACROS"]

RECIPIENT_MACROS: Final = frozenset(
    ("recipient", "original_recipient", "user", "extension", "mailbox", "domain")
)
CLIENT_MACROS: Final = frozenset(
    (
        *("client_address", "client_port", "client_helo", "client_protocol", "client_hostname"),
        *("sasl_method", "sasl_sender", "sasl_username"),
    )
)
MACROS: Final = (
    RECIPIENT_MACROS | CLIENT_MACROS | frozenset(("sender", "nexthop", "queue_id", "size"))
)
