"""Root's commands read mail and logs as the queue's owner: what others wrote is gossip to root.

The queue owner's files are parsed with the queue owner's power alone. There is no way back: the
process stays that user.
"""

import os
import pwd
from typing import Final

__all__ = ["become_queue_owner"]

_ROOT: Final = 0
_FOLDER: Final = "incoming"


def become_queue_owner(queue_directory: str) -> None:
    """Be the user whose queue files these are, if root runs this; FileNotFoundError: no queue."""
    if os.geteuid() != _ROOT:
        return
    found = os.stat(os.path.join(queue_directory, _FOLDER), follow_symlinks=False)
    if found.st_uid == _ROOT:
        return  # a queue of root's own, as tests have it
    try:
        name = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        os.setgroups([])
    else:
        os.initgroups(name, found.st_gid)  # with that of private/: it speaks to the daemons there
    os.setresgid(found.st_gid, found.st_gid, found.st_gid)
    os.setresuid(found.st_uid, found.st_uid, found.st_uid)
