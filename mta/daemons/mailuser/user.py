"""Becoming a user of the host, for good.

    who is refused                      why
    root                                who writes to root's files can be root
    users that the house's rows run as  their queue, keys and mailboxes are not a user's
    anybody else, where we are not      only root can become somebody: such a house serves the user
      root                              that runs it

There is no least uid: mail goes to www-data, list and nobody on many hosts, and mailing lists run
as such users. A password that is locked says who may log in, not who gets mail.
"""

import grp
import os
import pwd
import stat
from typing import Final

from msgspec import Struct

from mta.config.snapshot import Snapshot
from mta.master.users import house_uids
from mta.proto.status import temporary

__all__ = ["Host", "Spool", "become", "find_user", "host_of", "open_spool"]

_ROOT: Final = 0
_MAIL_GROUP: Final = "mail"  # of the folder of mailboxes: FHS, and Debian's policy 11.6


class Host(Struct, frozen=True):
    """What a child has to know of the house."""

    name: str
    refused: frozenset[int]  # uids that nothing is done as


def host_of(snapshot: Snapshot) -> Host:
    """The host that a configuration speaks of; the process lives in the queue directory."""
    is_roots = os.geteuid() == _ROOT or os.stat(os.curdir).st_uid == _ROOT
    refused = house_uids(snapshot) if is_roots else frozenset({_ROOT})
    return Host(snapshot.parameters.myhostname, refused)


def find_user(name: str, host: Host) -> pwd.struct_passwd:
    """The user's entry; MailError 451 for one that is not there, or whom we must not be."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        temporary("4.3.0", "no such user on this host", name)
    if user.pw_uid in host.refused or user.pw_uid == _ROOT:
        temporary("4.3.5", "nothing is done as this user", f"{name}: uid {user.pw_uid}")
    if os.geteuid() not in (_ROOT, user.pw_uid):
        reason = f"{name}: only root can become another user, and this is uid {os.geteuid()}"
        temporary("4.3.5", "this system serves one user only", reason)
    return user


class Spool(Struct, frozen=True):
    """A folder of mailboxes, open, and the group that makes mailboxes and lock files there."""

    descriptor: int
    group: int


def open_spool(user: pwd.struct_passwd, mailbox: str) -> Spool | None:
    """The folder of the mailbox, if it is the user's own in a folder that is open to group mail.

    Such a folder is root's, as /var/mail is: there the mailbox that bears the user's name is his,
    and no other name is any business of his. It is opened before anything is granted for it, so
    that no link that is turned meanwhile leads the group elsewhere.
    """
    folder, name = os.path.split(mailbox)
    if name != user.pw_name or os.geteuid() != _ROOT:
        return None
    try:
        group = grp.getgrnam(_MAIL_GROUP).gr_gid
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (KeyError, OSError):
        return None  # the user finds out himself what is wrong
    found = os.fstat(descriptor)
    is_open = found.st_mode & stat.S_IWGRP and not found.st_mode & stat.S_IWOTH
    if found.st_uid == _ROOT and found.st_gid == group and is_open:
        return Spool(descriptor, group)
    os.close(descriptor)
    return None


def become(user: pwd.struct_passwd, *further: int) -> None:
    """Be the user and nobody else, with the user's groups and these; OSError if that fails.

    Where we are that user already, and not root, there is nothing to change.
    """
    uid, gid = user.pw_uid, user.pw_gid
    if os.geteuid() == _ROOT:
        groups = {*os.getgrouplist(user.pw_name, gid), *further}
        os.setgroups(sorted(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if set(os.getgroups()) - {gid} != groups - {gid} or os.getresgid() != (gid, gid, gid):
            raise PermissionError("the groups are not the user's")
    if os.getresuid() != (uid, uid, uid):
        raise PermissionError("the uids are not the user's")
    try:
        os.setresuid(_ROOT, _ROOT, _ROOT)
    except PermissionError:
        return
    raise PermissionError("root could be had again")
