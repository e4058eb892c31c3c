"""Parameters of what users of this host may ask of the mail system: lists of users, as Postfix's.

The first pattern of a list that fits decides: NAME, !NAME for all but him, static:anyone for
everybody. A user whom the host does not know is called "unknown". Tables are not taken.
"""

from typing import Annotated

from msgspec import Meta

from mta.config.maildrop import Maildrop
from mta.config.types import Used

__all__ = ["Authorized"]

UserPattern = Annotated[
    str,
    Meta(
        title="a user's name, !NAME, or static:anyone",
        pattern=r"\A!?(?:static:[a-z]+|[a-zA-Z_0-9][a-zA-Z0-9._-]{0,30}\$?)\Z",
    ),
]
UserPatterns = tuple[UserPattern, ...]


class Authorized(Maildrop, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of `Parameters` that users of this host are admitted by."""

    authorized_flush_users: Annotated[
        UserPatterns,
        Meta(
            description="Users of this host who may have deferred mail tried now (sendmail -q): "
            "the first that fits of NAME, !NAME, static:anyone (everybody). Root and the queue's "
            "owner always may.",
        ),
        Used("showq"),
    ] = ("static:anyone",)
    authorized_mailq_users: Annotated[
        UserPatterns,
        Meta(
            description="Users of this host who may see what is in the queue (mailq): the first "
            "that fits of NAME, !NAME, static:anyone (everybody). Root and the queue's owner "
            "always may.",
        ),
        Used("showq"),
    ] = ("static:anyone",)
    authorized_submit_users: Annotated[
        UserPatterns,
        Meta(
            description="Users of this host who may send mail with sendmail: the first that fits "
            'of NAME, !NAME, static:anyone (everybody), as in ["!www-data", "static:anyone"]. '
            "An empty list is for nobody, root included. Whoever speaks SMTP is not asked.",
        ),
        Used("pickup"),
    ] = ("static:anyone",)
