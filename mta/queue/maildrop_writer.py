"""A file of the maildrop in the making: nobody sees it under its name before it is whole.

    create .NAME (O_EXCL)  ->  write  ->  fsync  ->  close  ->  rename to NAME  ->  fsync

NAME is time, process, boot, 128 random bits and host: unique over hosts and boots without a look
into the folder, which its mode (3733) lets nobody have, and not to be guessed. As users cannot open
the folder either, it is the file that is flushed again behind the rename: its inode was changed by
that, so that the journal of ext4, xfs and btrfs commits both in one; an NFS server answers a rename
when it is on its disk.

Over a network a rename's answer may be lost, or be that of its own repetition. Then the file is
looked for: nobody but we and pickup takes a name away, and pickup takes none that begins with a
dot; so a `.NAME` that is gone was renamed. All is relative to the folder as it was opened, for what
is mounted there may change.
"""

import contextlib
import os
import re
import time
from typing import Final

from mta.queue.maildrop import DROPPED_MODE

__all__ = ["MaildropWriter", "new_name"]

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_BOOT_DIGITS: Final = 12
_HOST_LIMIT: Final = 64  # octets
_RANDOM_OCTETS: Final = 16
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC  # users may not read it
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_OF_A_NAME: Final = re.compile(r"[^A-Za-z0-9_]", re.ASCII)


def new_name(host: str) -> str:
    """A name that no other file of any host has or had."""
    microseconds = time.time_ns() // 1000
    random = os.urandom(_RANDOM_OCTETS).hex()
    safe = _NOT_OF_A_NAME.sub("_", host)[:_HOST_LIMIT] or "_"
    return f"{microseconds}-{os.getpid()}-{_boot()}-{random}-{safe}"


def _boot() -> str:
    with open(_BOOT_ID, encoding="ascii") as file:
        return file.read(64).replace("-", "")[:_BOOT_DIGITS]


class MaildropWriter:
    """One new file: `write`, then `seal` and `publish`; at the end always `close`.

    An OSError of these means that there is no file of that name, and will be none; unless nothing
    can be known of the folder any more.
    """

    def __init__(self, folder: str, host: str) -> None:
        """Create the file."""
        self.name = new_name(host)
        self._hidden = f".{self.name}"
        self._published = False
        self._kept = -1  # to flush the file again once it is closed for writing
        self._folder = os.open(folder, _FOLDER)
        try:
            self._descriptor = os.open(self._hidden, _CREATE, 0o600, dir_fd=self._folder)
        except BaseException:
            os.close(self._folder)
            raise

    def write(self, data: bytes) -> None:
        """Add octets."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def seal(self) -> None:
        """Have it all on stable storage, still under a name that nobody takes."""
        os.fchmod(self._descriptor, DROPPED_MODE)
        os.fsync(self._descriptor)
        self._kept = os.open(self._hidden, _READ, dir_fd=self._folder)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)  # a file server's error may come no earlier

    def publish(self) -> None:
        """Give it its name, for good when this returns."""
        try:
            os.rename(self._hidden, self.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError:
            if self._is_hidden():
                raise
        self._published = True
        try:
            os.fsync(self._kept)
        except OSError:
            if self.withdraw():
                raise

    def withdraw(self) -> bool:
        """Take it back after `publish`; False if pickup was faster, and the mail is on its way."""
        try:
            os.unlink(self.name, dir_fd=self._folder)
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        """Leave nothing behind that was not published, as far as can be; pickup clears the rest."""
        descriptors = (self._descriptor, self._kept)
        self._descriptor = self._kept = -1
        for descriptor in descriptors:
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        if not self._published:
            with contextlib.suppress(OSError):
                os.unlink(self._hidden, dir_fd=self._folder)
        os.close(self._folder)

    def _is_hidden(self) -> bool:
        """Whether it still has its first name; OSError if that cannot be known."""
        try:
            os.lstat(self._hidden, dir_fd=self._folder)
        except FileNotFoundError:
            return False
        return True
