"""Parameters of local submission: the maildrop, and how much of it is one user's (pickup(8))."""

from typing import Annotated

from msgspec import Meta

from mta.config.local_delivery import LocalDelivery
from mta.config.types import AbsolutePath, Octets, Used

__all__ = ["Maildrop"]


class Maildrop(LocalDelivery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of `Parameters` that mail of this host's users is taken by."""

    maildrop_directory: Annotated[
        AbsolutePath,
        Meta(
            description="Where sendmail leaves files for pickup: a folder of mode 3733 and of "
            "mail_owner. It may be mounted from a file server, and shared by hosts that only "
            "send. Empty: maildrop in queue_directory.",
        ),
        Used("pickup", "sendmail"),
    ] = ""
    maildrop_turn_file_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="How many files of one user are taken from the maildrop in a turn; more "
            "wait until the other users have had theirs.",
        ),
        Used("pickup"),
    ] = 500
    maildrop_turn_size_limit: Annotated[
        Octets,
        Meta(
            ge=1,
            le=2**50,
            description="How many octets of files of one user are taken from the maildrop in a "
            "turn; one file is taken however large it is.",
        ),
        Used("pickup"),
    ] = 100_000_000
    pickup_user_concurrency_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="How many messages one user of this host may hand in at the same time. "
            "Who is beyond it is not served, and sendmail leaves a file in the maildrop, which "
            "waits for pickup's wakeup; of more than a megabyte it may end with status 75 instead.",
        ),
        Used("pickup"),
    ] = 20
