"""Which errors which system call can give in life, and what a fault there may cost.

The law: a call that a daemon was seen to make and that is not in this table is a hole in the proof.
What a call is made on matters: a full disk makes a write to a file fail, never one to an eventfd.

kind      what the call's first argument is open on
file      a regular file            folder    a directory
socket    of whatever family        pipe      the log's, or a child's output
event     an eventfd                poll      epoll or io_uring
other     a device                  ""        the first argument is no descriptor
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["Spot", "errors_of", "is_known", "is_mortal", "may_cost_copy", "persists", "spot_of"]

# A system call and the kind of what it is made on.
Spot = tuple[str, str]

_PATH: Final = ("EIO", "ENOMEM", "EACCES")
_CHANGE: Final = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "ENOMEM")
_MEMORY: Final = ("ENOMEM",)
_DESCRIPTORS: Final = ("EMFILE", "ENFILE", "ENOMEM")
_DISK: Final = ("ENOSPC", "EDQUOT", "EIO", "EFBIG")
_SOCKET: Final = ("ENOBUFS", "ENOMEM")
_OPEN: Final = ("EMFILE", "ENFILE", "ENOSPC", "EDQUOT", "EIO", "EROFS", "ENOMEM", "EACCES")

# By call and kind; "*" stands for any kind that is not named.
_ERRORS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    # Paths
    "openat": {"*": _OPEN},
    "newfstatat": {"*": _PATH},
    "fstat": {"*": ("EIO", "ENOMEM")},
    "statx": {"*": _PATH},
    "access": {"*": ("EIO", "ENOMEM")},
    "readlink": {"*": ()},  # the interpreter's, before it can be watched
    "getcwd": {"*": _MEMORY},
    "getdents64": {"*": ("EIO", "ENOMEM")},
    "fstatfs": {"*": ("EIO", "ENOMEM")},
    "statfs": {"*": ("EIO", "ENOMEM")},
    "renameat": {"*": _CHANGE},
    "renameat2": {"*": _CHANGE},
    "rename": {"*": _CHANGE},
    "unlinkat": {"*": ("EIO", "EROFS", "ENOMEM")},
    "unlink": {"*": ("EIO", "EROFS", "ENOMEM")},
    "mkdirat": {"*": _CHANGE},
    "utimensat": {"*": ("EIO", "EROFS", "ENOMEM")},
    "fchmod": {"*": ("EIO", "ENOSPC", "EROFS", "ENOMEM")},
    "fchmodat": {"*": ("EIO", "ENOSPC", "EROFS", "ENOMEM")},
    # Content
    # Not EAGAIN for a pipe: it would hit eventfds as well, and there it loses a wake-up for good,
    # as no kernel does.
    "write": {"file": _DISK, "socket": ("ECONNRESET", "EPIPE"), "*": ()},
    "writev": {"file": _DISK, "socket": ("ECONNRESET", "EPIPE"), "*": ()},
    "pwrite64": {"file": _DISK},
    "read": {"file": ("EIO",), "socket": ("ECONNRESET", "ETIMEDOUT"), "*": ()},
    "readv": {"file": ("EIO",), "socket": ("ECONNRESET",), "pipe": ("EAGAIN",)},
    "pread64": {"file": ("EIO", "ENOMEM")},
    "preadv": {"file": ("EIO", "ENOMEM")},
    "ftruncate": {"file": ("EIO", "ENOSPC", "EROFS")},
    "fsync": {"*": ("EIO", "ENOSPC", "EDQUOT")},
    "fdatasync": {"*": ("EIO", "ENOSPC", "EDQUOT")},
    "sync_file_range": {"*": ("EIO", "ENOSPC", "ENOMEM")},
    "close": {"file": ("EIO", "ENOSPC", "EDQUOT"), "folder": ("EIO",), "*": ()},
    "flock": {"*": ("ENOLCK",)},
    "getrandom": {"*": ()},
    # Sockets. Not ECONNRESET where a packet is sent: the other end would have to be gone.
    "socket": {"*": ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")},
    "socketpair": {"*": ("EMFILE", "ENFILE", "ENOMEM")},
    "connect": {"*": ("ECONNREFUSED", "EAGAIN", "ENOMEM", "ETIMEDOUT")},
    "accept4": {"*": ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED")},
    "sendto": {"*": (*_SOCKET, "EAGAIN")},
    "sendmsg": {"*": (*_SOCKET, "EAGAIN", "ETOOMANYREFS")},
    "recvfrom": {"*": ("ENOMEM", "ECONNRESET")},
    "recvmsg": {"*": ("ENOMEM", "ECONNRESET")},
    "getsockopt": {"*": ("ENOBUFS", "ENOMEM")},
    "setsockopt": {"*": ("ENOBUFS", "ENOMEM")},
    "getsockname": {"*": ("ENOBUFS",)},
    "getpeername": {"*": ("ENOBUFS", "ENOTCONN")},
    "shutdown": {"*": ("ENOTCONN",)},
    # Memory, descriptors, threads and processes
    "mmap": {"*": _MEMORY},
    "mremap": {"*": _MEMORY},
    "mprotect": {"*": _MEMORY},
    "brk": {"*": _MEMORY},
    "clone": {"*": ("EAGAIN", "ENOMEM")},
    "clone3": {"*": ("EAGAIN", "ENOMEM")},
    "fork": {"*": ("EAGAIN", "ENOMEM")},
    "vfork": {"*": ("EAGAIN", "ENOMEM")},
    "epoll_create1": {"*": _DESCRIPTORS},
    "epoll_ctl": {"*": ("ENOMEM", "ENOSPC")},
    "eventfd2": {"*": _DESCRIPTORS},
    "timerfd_create": {"*": _DESCRIPTORS},
    "inotify_init1": {"*": _DESCRIPTORS},
    "pipe2": {"*": ("EMFILE", "ENFILE")},
    "dup": {"*": ("EMFILE",)},
    "io_uring_setup": {"*": _DESCRIPTORS},
    "io_uring_enter": {"*": ("EAGAIN", "ENOMEM")},
    "landlock_create_ruleset": {"*": _DESCRIPTORS},
    "landlock_add_rule": {"*": _MEMORY},
    "landlock_restrict_self": {"*": _MEMORY},
    "seccomp": {"*": _MEMORY},
    "setgroups": {"*": _MEMORY},
    "setuid": {"*": ("EAGAIN",)},
}

# Calls that cannot fail with correct arguments, or whose failure says nothing: no error is tried.
_SURE: Final = """
arch_prctl bind capget chdir clock_gettime clock_nanosleep close_range dup2 dup3 epoll_pwait
epoll_wait execve exit exit_group fadvise64 fcntl futex getegid geteuid getgid getpgid getpgrp
getpid getppid getrlimit gettid gettimeofday getuid getxattr ioctl kill listen lseek madvise
membarrier mlock munmap nanosleep pause poll ppoll prctl prlimit64 pselect6 restart_syscall rseq
rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield select set_robust_list
set_tid_address setgid setpgid setresgid setresuid setrlimit setsid sigaltstack sysinfo tgkill
times umask uname wait4 waitid
"""
_HARMLESS: Final = frozenset(_SURE.split())

# After this the process may end, as if it had been killed: no memory, or nothing to wait with.
# libuv ends the process itself where the loop's own descriptors fail.
_MORTAL: Final = frozenset(
    {"mmap", "mremap", "mprotect", "brk", "epoll_ctl", "epoll_create1", "eventfd2"}
    | {"io_uring_enter", "io_uring_setup"}
)

# What fails for a while in life: a full or read-only disk, a process out of descriptors.
_PERSISTENT: Final[Mapping[str, frozenset[str]]] = {
    **{
        call: frozenset(("ENOSPC", "EIO"))
        for call in ("writev", "pwrite64", "fsync", "renameat", "mkdirat", "fchmod")
    },
    "openat": frozenset(("EMFILE", "ENOSPC", "EROFS", "EIO")),
    "unlinkat": frozenset(("EROFS",)),
    "utimensat": frozenset(("EROFS",)),
    "pread64": frozenset(("EIO",)),
    "flock": frozenset(("ENOLCK",)),
    "accept4": frozenset(("EMFILE",)),
    "socket": frozenset(("EMFILE",)),
}

# Where a fault may cost a copy, as a crash would: what was done could not be told, or not heard.
_UNTOLD: Final[Mapping[str, frozenset[Spot]]] = {
    # The outcome cannot be sent, or the connection that it would be sent on breaks meanwhile.
    "virtual": frozenset({("sendto", "socket"), ("recvmsg", "socket"), ("fsync", "folder")}),
    "outbound": frozenset(
        # read, recvfrom: the next host has taken it, and its answer is not heard
        {("sendto", "socket"), ("recvmsg", "socket"), ("read", "socket"), ("recvfrom", "socket")}
    ),
    "qmgr": frozenset({("recvmsg", "socket"), ("sendmsg", "socket"), ("sendto", "socket")}),
    # A report is committed, and bounce or qmgr does not hear of it: a second one is made.
    "bounce": frozenset({("sendto", "socket"), ("recvmsg", "socket")}),
    "cleanup": frozenset({("sendto", "socket"), ("recvmsg", "socket")}),
}

_HEAD: Final = re.compile(r"(\w+)\((?:(\d+)<((?:[^<>]|<[^>]*>)*)>)?")


def spot_of(text: str) -> Spot:
    """Where a call was made, as strace shows it with `-y`; ValueError if it shows none."""
    found = _HEAD.match(text)
    if not found:
        raise ValueError(f"no system call: {text!r}")
    call, descriptor, place = found.groups()
    kind = "" if descriptor is None else _kind(place)
    # The interpreter looks at whatever it was given; what we open are files and folders.
    return call, "" if call == "newfstatat" and kind not in ("file", "folder") else kind


def _kind(place: str) -> str:
    for beginning, kind in (
        ("socket:", "socket"),
        ("pipe:", "pipe"),
        ("anon_inode:[eventfd]", "event"),
        ("anon_inode:", "poll"),
        ("/dev/", "other"),
        ("/proc/", "other"),
    ):
        if place.startswith(beginning):
            return kind
    if not place.startswith("/"):
        return "socket"  # such as TCP:[...]
    return "folder" if Path(place).is_dir() else "file"


def is_known(spot: Spot) -> bool:
    """Whether this table says anything of it."""
    return spot[0] in _HARMLESS or spot[0] in _ERRORS


def errors_of(spot: Spot) -> tuple[str, ...]:
    """The errors that are tried there, by strace's names."""
    by_kind = _ERRORS.get(spot[0], {})
    return by_kind.get(spot[1], by_kind.get("*", ()))


def persists(call: str, error: str) -> bool:
    """Whether the error comes to stay for a while."""
    return error in _PERSISTENT.get(call, ())


def is_mortal(spot: Spot) -> bool:
    """Whether a process that is struck there may end."""
    return spot[0] in _MORTAL or spot[1] == "event"


def may_cost_copy(row: str, spot: Spot) -> bool:
    """Whether a strike there explains a copy, as a crash does."""
    return spot in _UNTOLD.get(row, ())
