"""The queue directory: which folders there are, who may enter them, where a queue file lies.

    incoming deferred hold corrupt   queue files, each in the subfolder of its id's last character
    private pid                      sockets of the daemons; locks and the master's own socket
    public                           sockets that every user of the host may connect to
    config                           the compiled configuration, which holds no secrets

The last character is random, so the 52 subfolders fill evenly. "Active" is a state inside the
queue manager, not a folder: one rename and one crash state less a message.
"""

import fcntl
import os
import stat
import struct
from contextlib import suppress
from typing import Final, Literal, get_args

from mta.queue.queue_id import ALPHABET, is_queue_id

__all__ = ["STATES", "State", "create_layout", "folder_of", "path_of"]

State = Literal["incoming", "deferred", "hold", "corrupt"]
STATES: Final[tuple[State, ...]] = get_args(State)

_CREATED_IN: Final[State] = "incoming"
_PRIVATE: Final = 0o700
_PUBLIC: Final = 0o755
# linux/fs.h and ext4: directories below one with this flag go to block groups of their own.
_TOPDIR_FLAG: Final = 0x20000
_FLAGS: Final = struct.Struct("i")  # although the numbers of the calls say "long"
_LONG: Final = struct.calcsize("l")
_GET_FLAGS: Final = 2 << 30 | _LONG << 16 | ord("f") << 8 | 1  # FS_IOC_GETFLAGS
_SET_FLAGS: Final = 1 << 30 | _LONG << 16 | ord("f") << 8 | 2  # FS_IOC_SETFLAGS

_FOLDERS: Final = {
    "": _PUBLIC,
    "config": _PUBLIC,
    "pid": _PRIVATE,
    "private": _PRIVATE,
    "public": _PUBLIC,
}


def folder_of(state: State, queue_id: str) -> str:
    """The folder of a queue id, relative to the queue directory."""
    return f"{state}/{queue_id[-1]}"


def path_of(state: State, queue_id: str) -> str:
    """The path of a queue file, relative to the queue directory; ValueError if it is no id."""
    if not is_queue_id(queue_id):
        raise ValueError(f"not a queue id: {queue_id!r}")
    return f"{state}/{queue_id[-1]}/{queue_id}"


def create_layout(queue_directory: str) -> list[str]:
    """Make what is missing and set modes that differ; return the paths that were changed.

    NotADirectoryError names a path that is something else, PermissionError one that is not ours.
    """
    folders = dict(_FOLDERS)
    for state in STATES:
        folders[state] = _PRIVATE
        folders.update((f"{state}/{digit}", _PRIVATE) for digit in ALPHABET)
    os.makedirs(os.path.dirname(os.path.abspath(queue_directory)), exist_ok=True)
    paths = ((os.path.join(queue_directory, name), mode) for name, mode in folders.items())
    return [path for path, mode in paths if _ensure_folder(path, mode)]


def _ensure_folder(path: str, mode: int) -> bool:
    """Whether the folder had to be made or changed."""
    try:
        os.mkdir(path, mode)
        made = True
        if os.path.basename(path) == _CREATED_IN:
            _spread_subfolders(path)
    except FileExistsError:
        made = False
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path}: expected a directory")
    if stat.S_IMODE(found.st_mode) == mode:
        return made
    os.chmod(path, mode)  # the umask took bits away, or somebody changed it
    return True


def _spread_subfolders(path: str) -> None:
    """Ask ext4 to keep the folders to come apart, and with them the inodes of their files.

    Without a journal it passes over inodes that were freed in the last minutes, one by one: with
    all messages in one block group a busy queue made it 430 microseconds to create a file, so 17.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a hint, which other file systems do not know
            (flags,) = _FLAGS.unpack_from(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(_LONG)))
            fcntl.ioctl(descriptor, _SET_FLAGS, _FLAGS.pack(flags | _TOPDIR_FLAG))
    finally:
        os.close(descriptor)
