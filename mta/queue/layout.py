"""The queue directory: which folders there are, who may enter them, where a queue file lies.

    incoming deferred hold corrupt   queue files, each in the subfolder of its id's last character
    private pid                      sockets of the daemons; locks and the master's own socket
    public                           sockets that every user of the host may connect to
    config                           the compiled configuration, which holds no secrets

The last character is random, so the 52 subfolders fill evenly. "Active" is a state inside the
queue manager, not a folder: one rename and one crash state less a message.
"""

import os
import stat
from typing import Final, Literal, get_args

from mta.queue.queue_id import ALPHABET, is_queue_id

__all__ = ["STATES", "State", "create_layout", "folder_of", "path_of"]

State = Literal["incoming", "deferred", "hold", "corrupt"]
STATES: Final[tuple[State, ...]] = get_args(State)

_PRIVATE: Final = 0o700
_PUBLIC: Final = 0o755
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
    except FileExistsError:
        made = False
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path}: expected a directory")
    if stat.S_IMODE(found.st_mode) == mode:
        return made
    os.chmod(path, mode)  # the umask took bits away, or somebody changed it
    return True
