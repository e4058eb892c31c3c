"""Who may connect to the daemons' own sockets: the users that rows run as, and root.

Modes of directories and sockets keep strangers out; this holds where a mode was changed by
mistake, or where a directory must be open to all.
"""

import os
import pwd
from collections.abc import Iterable
from typing import Final

from mta.config.snapshot import Service

__all__ = ["house_users"]

_ROOT: Final = 0


def house_users(services: Iterable[Service]) -> frozenset[int]:
    """The uids of all rows, of this process, and of root; KeyError names a user without one."""
    named = {row.user for row in services if row.user}
    return frozenset({_ROOT, os.geteuid(), *(pwd.getpwnam(name).pw_uid for name in named)})
