"""Mailboxes that this process has delivered to, and what its first delivery to each has to see to.

The law: what lies in tmp/ for 36 hours is a leftover of a delivery that died (maildir(5)); the
first delivery removes it if the name is one of ours: regular files alone, by the folder's
descriptor. Should a clock have jumped, and the delivery live, then its rename fails, which is a
temporary failure of that delivery: nothing was promised, and nothing is lost.
"""

import os
import re
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from mta.queue.filesystem import fsync_covers_name

__all__ = ["LEFTOVER_AGE", "KnownMailboxes"]

LEFTOVER_AGE: Final = 36 * 3600.0  # seconds

_LIMIT: Final = 10_000  # mailboxes in memory
_NAMES_LIMIT: Final = 10_000  # names looked at in one tmp/
_OURS: Final = re.compile(r"\d+\.M\d+P\d+Q\d+R[0-9a-f]{16}\..+", re.DOTALL)  # see MaildirNames


class KnownMailboxes:
    """What is known of mailboxes, by their folders; to be used from any thread."""

    def __init__(self) -> None:
        self._names_need_syncs: dict[tuple[str, ...], bool] = {}

    def begin(self, folders: Sequence[str], tmp: int) -> bool:
        """Have the mailbox's tmp/ tidied if this is the first delivery to it.

        Whether a folder's name is on stable storage only when the folder that it lies in was
        flushed: so it is unless a file's flush covers names (ext4, xfs, btrfs). An OSError is the
        file system's.
        """
        mailbox = tuple(folders)
        needed = self._names_need_syncs.get(mailbox)
        if needed is None:
            needed = not fsync_covers_name(tmp)
            with suppress(OSError):  # a delivery is more than tidiness, and the next process tries
                _remove_leftovers(tmp)
            if len(self._names_need_syncs) >= _LIMIT:
                self._names_need_syncs.clear()
            self._names_need_syncs[mailbox] = needed
        return needed


def _remove_leftovers(tmp: int) -> None:
    oldest = time.time() - LEFTOVER_AGE
    with os.scandir(tmp) as entries:
        for entry in islice(entries, _NAMES_LIMIT):
            if not _OURS.fullmatch(entry.name):
                continue
            with suppress(FileNotFoundError):  # another process was faster
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_mtime < oldest:
                    os.unlink(entry.name, dir_fd=tmp)
