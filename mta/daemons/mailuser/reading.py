"""Reading what a user has written for us: .forward, lists of :include:.

    regular, at most `limit` octets        or it is unsafe
    owner: the user or root                or another speaks in his name
    writable for the owner alone, and for  the group that bears his name: Debian's and Red Hat's
      a group of the user's own              users have one each, and umask 002 with it
    nobody else can put another in its     a folder that all may write to, unless it is sticky
      place

A link may lead to it, for the user has made the link. What is missing is missing, the home
directory too, as in Postfix, where users without one are common; what cannot be known, as with a
file server that is away, is a temporary failure.
"""

import errno
import grp
import os
import pwd
import stat
from typing import Final

from mta.ipc.messages import FileRead, FileState, ReadFile
from mta.proto.status import temporary
from mta.util.regular import NotRegularError, open_regular

__all__ = ["read_file"]

_ROOT: Final = 0
_MISSING: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_UNSAFE: Final = (errno.EACCES, errno.ELOOP, errno.EPERM)


def read_file(request: ReadFile, user: pwd.struct_passwd) -> FileRead:
    """Read the file as the process' user, who is `user`; MailError 451 if nothing is known."""
    try:
        with open(open_regular(request.path), "rb") as file:
            found = os.fstat(file.fileno())
            reason = _distrust(request.path, found, user)
            content = b"" if reason else file.read(request.limit + 1)
    except NotRegularError as error:
        return FileRead(FileState.UNSAFE, reason=f"it is {error}")
    except OSError as error:
        if error.errno in _MISSING:
            return FileRead(FileState.MISSING)
        if error.errno in _UNSAFE:
            return FileRead(FileState.UNSAFE, reason=error.strerror or "")
        temporary("4.3.0", "a file of the user's cannot be read", f"{request.path}: {error}")
    if len(content) > request.limit:
        reason = f"it has more than {request.limit} octets"
    if reason:
        return FileRead(FileState.UNSAFE, reason=reason)
    return FileRead(FileState.READ, content)


def _distrust(path: str, found: os.stat_result, user: pwd.struct_passwd) -> str:
    """Why another than the user may have written the file, or nothing."""
    if found.st_uid not in (user.pw_uid, _ROOT):
        return f"it is not the user's but uid {found.st_uid}'s"
    if found.st_mode & stat.S_IWOTH:
        return "everybody can write to it"
    if found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid, user):
        return f"group {found.st_gid} can write to it"
    for folder in {os.path.dirname(path), os.path.dirname(os.path.realpath(path))}:
        mode = os.stat(folder).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return "everybody can write to its folder"
    return ""


def _is_own_group(gid: int, user: pwd.struct_passwd) -> bool:
    try:
        return gid == user.pw_gid and grp.getgrgid(gid).gr_name == user.pw_name
    except KeyError:
        return False
