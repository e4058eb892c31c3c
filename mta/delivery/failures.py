"""What a mailbox's file system refuses, in the terms of mail (RFC 3463, 3.3 and 3.4).

The law: what the system says is temporary, for an operator or the owner can repair all of it; only
a limit of our own that a message exceeds for good is permanent.
"""

import errno
from typing import Final

from mta.proto.status import MailError, Status

__all__ = ["FULL", "mailbox_failure"]

FULL: Final = Status(552, "5.2.2", "mailbox is full")  # by a limit that is set for it

_STATUSES: Final = {
    errno.EDQUOT: Status(452, "4.2.2", "mailbox is full"),
    errno.EFBIG: Status(452, "4.2.2", "mailbox is full"),
    errno.ENOSPC: Status(452, "4.3.1", "no space for the mailbox"),
    errno.ELOOP: Status(451, "4.2.0", "mailbox is a symbolic link"),
    errno.ENOTDIR: Status(451, "4.2.0", "mailbox is not a directory"),
}
_OTHER: Final = Status(451, "4.3.0", "mailbox cannot be written")


def mailbox_failure(place: str, error: OSError) -> MailError:
    """The failure of a delivery to the mailbox at `place`; the log alone has the rest."""
    status = _STATUSES.get(error.errno or 0, _OTHER)
    return MailError(status, f"{place}: {error}")
