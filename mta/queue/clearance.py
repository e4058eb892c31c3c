"""Folders of the queue directory that no row needs any more: empty ones go, mail stays.

A table that has lost its queue manager may have left mail behind. Nothing here removes a queue
file, nor any folder of a queue that holds one: `mta queue` still finds all of it.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from mta.queue.layout import MAILDROP, STATES, Parts
from mta.queue.queue_id import ALPHABET
from mta.util.house import MASTER_LOCK

__all__ = ["clear", "holds_mail"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def clear(queue_directory: str, parts: Parts) -> list[str]:
    """Remove what is not needed, empty and unused; return the folders that went.

    While a master runs, or begins to, nothing is removed: its rows may use all of it.
    """
    removed: list[str] = []
    with _master_kept_out(queue_directory) as folder:
        if folder is None:
            return removed
        if not parts.files and not holds_mail(queue_directory):
            removed += [state for state in STATES if _remove_state(folder, state)]
        for name, needed in (
            ("private", parts.private),
            ("public", parts.public),
            ("pid", parts.pid),
            (MAILDROP, parts.maildrop),
        ):
            if not needed and _remove_folder(folder, name):
                removed.append(name)
    return removed


def holds_mail(queue_directory: str) -> bool:
    """Whether anything lies in the folders of queue files, complete or not."""
    for state in STATES:
        for _, folders, names in os.walk(os.path.join(queue_directory, state)):
            if names or set(folders) - set(ALPHABET):
                return True
    return False


@contextmanager
def _master_kept_out(queue_directory: str) -> Iterator[int | None]:
    """A descriptor of the queue directory while no master can start; None if one runs."""
    with ExitStack() as stack:
        folder = os.open(queue_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, folder)
        try:
            lock = os.open(MASTER_LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:  # there never was one
            yield folder
            return
        stack.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield folder


def _remove_state(folder: int, state: str) -> bool:
    with _opened(folder, state) as descriptor:
        if descriptor is None:
            return False
        for digit in ALPHABET:
            with suppress(OSError):  # mail that came this moment: the folder above stays, too
                os.rmdir(digit, dir_fd=descriptor)
    return _rmdir(folder, state)


def _remove_folder(folder: int, name: str) -> bool:
    """Remove a folder of sockets or of the master's files, when it holds nothing else."""
    with _opened(folder, name) as descriptor:
        if descriptor is None:
            return False
        for entry in os.listdir(descriptor):
            mode = os.stat(entry, dir_fd=descriptor, follow_symlinks=False).st_mode
            # What a master leaves behind: dead sockets, and in pid locks and its number.
            if stat.S_ISSOCK(mode) or (name == "pid" and stat.S_ISREG(mode)):
                os.unlink(entry, dir_fd=descriptor)
    return _rmdir(folder, name)


@contextmanager
def _opened(folder: int, name: str) -> Iterator[int | None]:
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
    except OSError:  # it is not there, or is no folder: then it is none of ours
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _rmdir(folder: int, name: str) -> bool:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError:  # something is in it
        return False
    return True
