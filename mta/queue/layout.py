"""The queue directory: which folders there are, whose they are, where a queue file lies.

    incoming deferred hold corrupt   queue files, each in the subfolder of its id's last character
    private                          sockets of the daemons, for each other
    public                           sockets that every user of the host may connect to
    maildrop                         what users leave for pickup: all may add, none may look
    pid                              the master's lock and own socket; the locks of qmgr and pickup
    config                           the compiled configuration, which holds no secrets

All but config is there only where a row of the service table needs it.

The last character is random, so the 52 subfolders fill evenly. "Active" is a state inside the
queue manager, not a folder: one rename and one crash state less a message.

Run by one user, all is that user's. Run by root, the queue files' folders are the mail owner's and
the rest is root's: nothing that root writes, and no name that root follows, can the mail owner
change. What lies within the mail owner's folders is made through descriptors, for names in there
may change at any time; root gives away what is root's, and takes nothing from others.
"""

import errno
import fcntl
import grp
import os
import pwd
import stat
import struct
from contextlib import ExitStack, suppress
from typing import Final, Literal, Self, get_args

from msgspec import Struct

from mta.queue.queue_id import ALPHABET, is_queue_id
from mta.util.house import PICKUP_LOCK, QMGR_LOCK
from mta.util.ownership import ANY, Ownership, described

__all__ = [
    "ALL_PARTS",
    "LOCKS",
    "MAILDROP",
    "MAILDROP_MODE",
    "STATES",
    "Keepers",
    "Parts",
    "State",
    "create_layout",
    "folder_of",
    "make_folder",
    "path_of",
    "table",
]

State = Literal["incoming", "deferred", "hold", "corrupt"]
STATES: Final[tuple[State, ...]] = get_args(State)

MAILDROP: Final = "maildrop"
# Sticky, not to be listed by its users; the group is handed down, so that pickup reads the files.
MAILDROP_MODE: Final = 0o3733
LOCKS: Final = frozenset({PICKUP_LOCK, QMGR_LOCK})  # the only files

_CREATED_IN: Final[State] = "incoming"
_ROOT: Final = 0
_OPEN: Final = 0o755
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
# linux/fs.h and ext4: directories below one with this flag go to block groups of their own.
_TOPDIR_FLAG: Final = 0x20000
_FLAGS: Final = struct.Struct("i")  # although the numbers of the calls say "long"
_LONG: Final = struct.calcsize("l")
_GET_FLAGS: Final = 2 << 30 | _LONG << 16 | ord("f") << 8 | 1  # FS_IOC_GETFLAGS
_SET_FLAGS: Final = 1 << 30 | _LONG << 16 | ord("f") << 8 | 2  # FS_IOC_SETFLAGS


class Keepers(Struct, frozen=True):
    """To whom the parts of the queue directory belong: user and group ids."""

    house: tuple[int, int]  # what the master and `mta render` write
    mail: tuple[int, int]  # queue files
    private: int | None  # the group that may connect to private/; None: the house's user alone

    @classmethod
    def alone(cls) -> Self:
        """Everything is this process's user's; groups do not matter."""
        own = (os.geteuid(), ANY)
        return cls(own, own, None)

    @classmethod
    def separated(cls, mail_owner: str, private_group: str) -> Self:
        """The master is root's, the queue is the mail owner's; KeyError if the host lacks one."""
        owner = pwd.getpwnam(mail_owner)
        private = grp.getgrnam(private_group).gr_gid
        return cls((_ROOT, _ROOT), (owner.pw_uid, owner.pw_gid), private)


class Parts(Struct, frozen=True):
    """What the rows of a service table need of the queue directory; unless said, all of it."""

    files: bool = True  # the folders of queue files
    private: bool = True
    public: bool = True
    pid: bool = True
    maildrop: bool = True


ALL_PARTS: Final = Parts()


def table(keepers: Keepers, parts: Parts = ALL_PARTS) -> dict[str, Ownership]:
    """What the queue directory holds, by relative path, and whose it is; parents come first."""
    open_to_all = Ownership(*keepers.house, _OPEN)
    closed = Ownership(*keepers.mail, 0o700)
    private, pid = Ownership(*keepers.house, 0o700), Ownership(*keepers.house, 0o700)
    if keepers.private is not None:
        private = Ownership(keepers.house[0], keepers.private, 0o710)
        pid = Ownership(*keepers.house, 0o711)  # qmgr passes it on the way to its lock
    entries = {"": open_to_all, "config": open_to_all}
    if parts.public:
        entries["public"] = open_to_all
    if parts.private:
        entries["private"] = private
    if parts.pid:
        entries["pid"] = pid
        if parts.files:
            entries[QMGR_LOCK] = Ownership(*keepers.mail, 0o600)
        if parts.maildrop:
            entries[PICKUP_LOCK] = Ownership(*keepers.mail, 0o600)
    if parts.maildrop:
        entries[MAILDROP] = Ownership(*keepers.mail, MAILDROP_MODE)
    for state in STATES if parts.files else ():
        entries[state] = closed
        entries.update((f"{state}/{digit}", closed) for digit in ALPHABET)
    return entries


def folder_of(state: State, queue_id: str) -> str:
    """The folder of a queue id, relative to the queue directory."""
    return f"{state}/{queue_id[-1]}"


def path_of(state: State, queue_id: str) -> str:
    """The path of a queue file, relative to the queue directory; ValueError if it is no id."""
    if not is_queue_id(queue_id):
        raise ValueError(f"not a queue id: {queue_id!r}")
    return f"{state}/{queue_id[-1]}/{queue_id}"


def create_layout(
    queue_directory: str, keepers: Keepers | None = None, parts: Parts = ALL_PARTS
) -> list[str]:
    """Make what is missing and set right what differs; return the paths that were changed.

    Without `keepers` all is this process's user's. NotADirectoryError names a path that is
    something else, PermissionError one that belongs to somebody from whom it is not taken.
    """
    changed: list[str] = []
    make_folder(os.path.dirname(os.path.abspath(queue_directory)))
    with ExitStack() as stack:
        opened: dict[str, int] = {}
        for name, wanted in table(keepers or Keepers.alone(), parts).items():
            path = os.path.join(queue_directory, name)
            above, _, last = name.rpartition("/")
            parent = opened[above] if name else None
            made = _make(last or path, parent, name in LOCKS)
            descriptor = _open(last or path, parent, name in LOCKS, path)
            stack.callback(os.close, descriptor)
            opened[name] = descriptor
            if made and name == _CREATED_IN:
                _spread_subfolders(descriptor)
            if _settle(descriptor, parent, wanted, path) or made:
                changed.append(path)
    return changed


def make_folder(path: str) -> None:
    """Make a folder and those above it, as far as they are missing; root's are open to all."""
    if os.geteuid() != _ROOT:
        os.makedirs(path, exist_ok=True)
    elif not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        with suppress(FileExistsError):  # somebody else was faster
            os.mkdir(path)
            os.chmod(path, _OPEN)


def _make(name: str, parent: int | None, is_file: bool) -> bool:
    """Make it, closed to all others, unless there is something of that name."""
    with suppress(FileExistsError):
        if is_file:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o600, dir_fd=parent))
        else:
            os.mkdir(name, 0o700, dir_fd=parent)
        return True
    return False


def _open(name: str, parent: int | None, is_file: bool, path: str) -> int:
    """Open what is there, if it is of the right kind; no link is followed."""
    flags = _FILE if is_file else _FOLDER
    if parent is not None:
        # The queue directory itself may be a link: what leads to it is root's, or the user's own.
        flags |= os.O_NOFOLLOW
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            error.filename = path
            raise
        raise _misfit(is_file, path) from None
    if is_file and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _misfit(is_file, path)
    return descriptor


def _misfit(is_file: bool, path: str) -> OSError:
    if is_file:
        return OSError(errno.EINVAL, "expected a regular file", path)
    return NotADirectoryError(f"{path}: expected a directory")


def _settle(descriptor: int, parent: int | None, wanted: Ownership, path: str) -> bool:
    """Give an open file or folder its owner, group and mode; whether that was needed."""
    found = os.fstat(descriptor)
    if wanted.holds(found):
        return False
    if not wanted.owned(found):
        if not _may_take(found, parent, wanted):
            reason = f"belongs to {described(found)}, expected {wanted}"
            raise PermissionError(errno.EPERM, reason, path)
        os.fchown(descriptor, wanted.owner, wanted.group)
    os.fchmod(descriptor, wanted.mode)
    return True


def _may_take(found: os.stat_result, parent: int | None, wanted: Ownership) -> bool:
    """Whether root may change the owner: in a folder of another, that one chose what lies there."""
    if os.geteuid() != _ROOT:
        return False
    chosen_by_root = parent is not None and os.fstat(parent).st_uid == _ROOT
    return chosen_by_root or found.st_uid in (_ROOT, wanted.owner)


def _spread_subfolders(descriptor: int) -> None:
    """Ask ext4 to keep the folders to come apart, and with them the inodes of their files.

    Without a journal it passes over inodes that were freed in the last minutes, one by one: with
    all messages in one block group a busy queue made it 430 microseconds to create a file, so 17.
    """
    with suppress(OSError):  # a hint, which other file systems do not know
        (flags,) = _FLAGS.unpack_from(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(_LONG)))
        fcntl.ioctl(descriptor, _SET_FLAGS, _FLAGS.pack(flags | _TOPDIR_FLAG))
