"""The folder of the mail log, and in it the master's own: root writes where nobody else can.

    LOGS            root's, open to the mail owner's group, sticky: its log is made and rotated here
    LOGS/master     root's alone; the sticky bit keeps the mail owner from moving it away

A folder that is there already may be anybody's, /var/log even: it is never given away, and what is
wrong with it, `mta check` says.
"""

import os
from contextlib import suppress
from typing import Final

from mta.queue.layout import Keepers, make_folder
from mta.util.house import MASTER_LOGS
from mta.util.ownership import Ownership

__all__ = ["create_log_folders", "log_folder"]

_SHARED: Final = 0o1770
_PRIVATE: Final = 0o700


def log_folder(keepers: Keepers) -> Ownership:
    """Whose the folder of the mail log is."""
    if keepers.house == keepers.mail:
        return Ownership(*keepers.house, _PRIVATE)
    return Ownership(keepers.house[0], keepers.mail[1], _SHARED)


def create_log_folders(log_directory: str, keepers: Keepers) -> None:
    """Make the folders that are missing."""
    make_folder(os.path.dirname(log_directory))
    made = False
    with suppress(FileExistsError):
        os.mkdir(log_directory, _PRIVATE)
        made = True
    descriptor = os.open(log_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(FileExistsError):
            os.mkdir(MASTER_LOGS, _PRIVATE, dir_fd=descriptor)
        if made:  # only now may the mail owner enter it
            wanted = log_folder(keepers)
            os.fchown(descriptor, wanted.owner, wanted.group)
            os.fchmod(descriptor, wanted.mode)
    finally:
        os.close(descriptor)
