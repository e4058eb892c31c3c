"""Who may connect to a daemon's own sockets: root, and the users of the rows that have reason to.

    delivery agents     mail_owner: the queue manager alone sends them mail
    mailuser            mail_owner: what it does as a user is for local and pickup alone
    all others          the users that rows run as

Modes of directories and sockets keep strangers out; this holds where a mode was changed by
mistake, or where a directory must be open to all. Where one user runs the whole house, that user
is all of these, and the names in the table do not matter.
"""

import os
import pwd
from collections.abc import Iterable
from typing import Final

from mta.config.snapshot import Service, Snapshot
from mta.util.house import Stage, stage_of
from mta.util.listen import parse_listen

__all__ = ["house_uids", "house_users"]

_ROOT: Final = 0
_MAILUSER: Final = "mailuser"  # it alone is root beside daemons that are not


def house_users(snapshot: Snapshot, service: Service) -> frozenset[int]:
    """The uids that may connect to the sockets of this process, which runs `service`.

    The process lives in the queue directory, which is root's where root runs the master.
    """
    is_mailuser = service.daemon == _MAILUSER
    is_root = os.geteuid() == _ROOT and not is_mailuser
    if is_root or os.stat(os.curdir).st_uid != _ROOT:
        return frozenset({_ROOT, os.geteuid()})
    stage = stage_of(service.daemon, map(parse_listen, service.listen))
    if is_mailuser or stage is Stage.AGENTS:
        names = {snapshot.parameters.mail_owner}
    else:
        names = {row.user for row in snapshot.services}
    return frozenset({_ROOT, *_uids(names)})


def house_uids(snapshot: Snapshot) -> frozenset[int]:
    """The uids that daemons run as, root's among them."""
    names = {row.user for row in snapshot.services}
    return frozenset({_ROOT, *_uids({snapshot.parameters.mail_owner, *names})})


def _uids(names: Iterable[str]) -> set[int]:
    """Their uids; a name that the host does not know admits nobody."""
    found = set()
    for name in names:
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    return found
