"""Which row may run as whom.

    only privileged rows are root                    a taken-over daemon must not own the host
    what opens queue files or the log is mail_owner  they are that user's, and closed to others
    what talks to the network is not mail_owner      it has no queue

Who runs the master as an ordinary user is every row's user, and the names do not matter then; so
that they exist on this host is a question of its own, which only root asks.
"""

import grp
import pwd
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.config.snapshot import Service
from mta.config.table import Row
from mta.config.whole import Whole
from mta.lookup.syntax import parse
from mta.util.listen import InetAddress, parse_listen
from mta.util.ownership import account

__all__ = ["Lack", "check_user", "lacking"]

_ROOT: Final = 0
_MAIL_OWNERS: Final = {
    "cleanup": "queue files belong to that user",
    "qmgr": "queue files belong to that user",
    "bounce": "queue files belong to that user",
    "showq": "queue files belong to that user",
    "log": "the folder of the mail log is open to that user",
}
_NETWORK: Final = frozenset(("smtpd", "smtp", "lmtp", "resolver"))


class Lack(Struct, frozen=True):
    """What this host lacks for a setting."""

    name: str
    expected: str
    found: str
    suggestion: str = ""


def check_user(whole: Whole, row: Row) -> None:
    """Note what contradicts the rules by the names alone."""
    service, owner = row.service, whole.parameters.mail_owner
    reason = _MAIL_OWNERS.get(service.daemon)
    if service.user == "root" and not service.privileged:
        expected = "another user, for only a row with privileged: true may run as root"
    elif service.user and reason and service.user != owner:
        expected = f"mail_owner, {owner}: {reason}"
    elif service.user == owner and _talks(service):
        expected = f"another user than mail_owner, {owner}: it talks to the network"
    else:
        return
    place = row.place_of("user", "daemon")
    whole.problems.add(place, f"services.{service.name}.user", expected, service.user)


def lacking(parameters: Parameters, services: Iterable[Service]) -> Iterator[Lack]:
    """What this host lacks for users and groups, where root runs the master."""
    rows = tuple(services)
    for row in rows:
        yield from _lacking_for(row)
    owner, group = parameters.mail_owner, parameters.private_group
    if not _is_known(pwd.getpwnam, owner):
        yield _no_user("main.mail_owner", owner)
    if not _is_known(grp.getgrnam, group):
        way_out = f"roll out the role users, or addgroup --system {group}"
        yield Lack("main.private_group", "a group of this host", f"no group {group}", way_out)
        return
    # The queue manager speaks to agents, whoever takes mail in to rewrite and cleanup, and who has
    # tables that may block to lookup.
    members = {owner, *(row.user for row in rows if _talks(row) or _asks(row, parameters))}
    for name in sorted(filter(partial(_is_known, pwd.getpwnam), members)):
        user = account(name)
        if user.uid != _ROOT and grp.getgrnam(group).gr_gid not in user.groups:
            expected = f"a group that {name} is a member of, to connect to other daemons"
            yield Lack("main.private_group", expected, group, f"adduser {name} {group}")


def _lacking_for(row: Service) -> Iterator[Lack]:
    name, user = f"services.{row.name}.user", row.user
    if not user:
        if not row.privileged:
            expected = "a user, for root runs the master: only a privileged row may run as root"
            yield Lack(name, expected, "nothing")
    elif not _is_known(pwd.getpwnam, user):
        yield _no_user(name, user)
    elif pwd.getpwnam(user).pw_uid == _ROOT and not row.privileged:
        expected = "another user, for only a privileged row may run as root"
        yield Lack(name, expected, f"{user}, root by another name")


def _no_user(name: str, user: str) -> Lack:
    way_out = f"roll out the role users, or adduser --system --group --no-create-home {user}"
    return Lack(name, "a user of this host", f"no user {user}", way_out)


def _talks(row: Service) -> bool:
    """Whether the row speaks with other hosts."""
    has_port = any(isinstance(parse_listen(text), InetAddress) for text in row.listen)
    return has_port or row.daemon in _NETWORK


def _asks(row: Service, parameters: Parameters) -> bool:
    """Whether the row is virtual, and asks lookup for the places of mailboxes."""
    own = row.settings.get("virtual_mailbox_maps")
    names = own if isinstance(own, tuple) else parameters.virtual_mailbox_maps
    return row.daemon == "virtual" and any(parse(name).blocking for name in names)


def _is_known(look_up: Callable[[str], object], name: str) -> bool:
    try:
        look_up(name)
    except KeyError:
        return False
    return True
