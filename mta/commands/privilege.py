"""Root's commands read mail and logs as the queue's owner: what others wrote is gossip to root.

The queue owner's files are parsed with the queue owner's power alone. There is no way back: the
process stays that user.
"""

import os
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
    os.setgroups([])
    os.setresgid(found.st_gid, found.st_gid, found.st_gid)
    os.setresuid(found.st_uid, found.st_uid, found.st_uid)
