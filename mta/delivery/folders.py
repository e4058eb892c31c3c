"""Folders of mailboxes: entered one by one, never through a symbolic link, made as needed."""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from mta.util.descriptors import close_read

__all__ = ["enter_folder", "open_folders"]

_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def enter_folder(parent: int, name: str, *, make: bool = True) -> int:
    """Open a folder; make it, durably, mode 0700, if it is not there. OSError is the system's."""
    try:
        return os.open(name, _FLAGS, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
        with suppress(FileExistsError):  # another delivery was faster
            os.mkdir(name, 0o700, dir_fd=parent)
        os.fsync(parent)
        return os.open(name, _FLAGS, dir_fd=parent)


def open_folders(base: int, names: Sequence[str], *, make: bool = True) -> int:
    """A descriptor of the folder at `names` beneath `base`, or another one of `base` itself."""
    folder = os.dup(base)
    for name in names:
        above = folder
        try:
            folder = enter_folder(above, name, make=make)
        finally:
            close_read(above)
    return folder
