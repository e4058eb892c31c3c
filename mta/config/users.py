"""Which row may run as whom.

    only privileged rows are root                    a taken-over daemon must not own the host
    what opens queue files or the log is mail_owner  they are that user's, and closed to others
    what talks to the network is not mail_owner      it has no queue

Who runs the master as an ordinary user is every row's user, and the names do not matter then; so
that they exist is asked of root alone.
"""

import grp
import os
import pwd
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from mta.config.parameters import Parameters
from mta.config.source import Node, Place, Problems
from mta.config.table import Row, Table
from mta.util.listen import InetAddress, parse_listen
from mta.util.ownership import account

__all__ = ["check_users"]

_ROOT: Final = 0
_MAIL_OWNERS: Final = {
    "cleanup": "queue files belong to that user",
    "qmgr": "queue files belong to that user",
    "bounce": "queue files belong to that user",
    "log": "the folder of the mail log is open to that user",
}
_NETWORK: Final = frozenset(("smtpd", "smtp", "lmtp", "resolver"))


def check_users(parameters: Parameters, main: Node, table: Table, problems: Problems) -> None:
    """Note rows that run as the wrong user, and, for root, users and groups that do not exist."""
    for row in table.rows.values():
        text = _misfit(row, parameters.mail_owner) or (_missing(row) if _is_root() else "")
        if text:
            problems.add(row.place_of("user"), f"services.{row.service.name}.user", text)
    for name, text in _lacking(parameters, table) if table.rows and _is_root() else ():
        entries = main.value if isinstance(main.value, dict) else {}
        place: Place = entries[name].place if name in entries else main.place
        problems.add(place, f"main.{name}", text)


def _lacking(parameters: Parameters, table: Table) -> Iterator[tuple[str, str]]:
    """What this host lacks for parameters that name a user or a group."""
    owner, group = parameters.mail_owner, parameters.private_group
    if not _is_known(pwd.getpwnam, owner):
        yield "mail_owner", f"this host has no {_ADD_USER.format(owner)}"
    if not _is_known(grp.getgrnam, group):
        yield "private_group", f"this host has no {_ADD_GROUP.format(group)}"
        return
    # The queue manager speaks to agents, and whoever takes mail in to rewrite and cleanup.
    members = {owner, *(row.service.user for row in table.rows.values() if _talks(row))}
    for name in sorted(filter(partial(_is_known, pwd.getpwnam), members)):
        user = account(name)
        if user.uid != _ROOT and grp.getgrnam(group).gr_gid not in user.groups:
            text = f"{name} is not a member, and could not connect to other daemons: "
            yield "private_group", f"{text}adduser {name} {group}"


_ADD_USER: Final = (
    "user {0}: roll out the role users, or adduser --system --group --no-create-home {0}"
)
_ADD_GROUP: Final = "group {0}: roll out the role users, or addgroup --system {0}"


def _misfit(row: Row, mail_owner: str) -> str:
    """What contradicts the rules by the names alone, or nothing."""
    service = row.service
    if service.user == "root" and not service.privileged:
        return "only a row with privileged: true may run as root"
    if not service.user:
        return ""
    reason = _MAIL_OWNERS.get(service.daemon)
    if reason and service.user != mail_owner:
        return f"{service.daemon} must run as mail_owner, {mail_owner}: {reason}"
    if _talks(row) and service.user == mail_owner:
        return f"what talks to the network must not run as mail_owner, {mail_owner}"
    return ""


def _missing(row: Row) -> str:
    """What this host lacks to run the row as its user, or nothing."""
    service = row.service
    if service.privileged:
        return ""
    if not service.user:
        return "required where root runs the master: only a privileged row may run as root"
    if not _is_known(pwd.getpwnam, service.user):
        return f"this host has no {_ADD_USER.format(service.user)}"
    if pwd.getpwnam(service.user).pw_uid == _ROOT:
        return f"{service.user} is root by another name: only a privileged row may run as root"
    return ""


def _talks(row: Row) -> bool:
    """Whether the row speaks with other hosts."""
    service = row.service
    has_port = any(isinstance(parse_listen(text), InetAddress) for text in service.listen)
    return has_port or service.daemon in _NETWORK


def _is_known(look_up: Callable[[str], object], name: str) -> bool:
    try:
        look_up(name)
    except KeyError:
        return False
    return True


def _is_root() -> bool:
    return os.geteuid() == _ROOT
