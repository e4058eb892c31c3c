"""How much of a host a service table needs: folders of the queue directory, and commands.

    folders of queue files   where a row opens them by name; agents and bounce get descriptors
    maildrop                 where a row takes what lies there
    private, public          where a row listens there
    pid                      where there is a row, and so a master

A command whose subject the table leaves out is not offered, unless that subject is still there:
mail of an earlier table can be looked at, and so can its log.
"""

import os
from collections.abc import Iterable
from typing import Final, Literal

from mta.config.generations import GenerationFolder
from mta.config.snapshot import Service, Snapshot, SnapshotError
from mta.queue.clearance import holds_mail
from mta.queue.layout import Parts
from mta.util.listen import InetAddress, SocketPath, parse_listen

__all__ = [
    "QUEUE_DAEMONS",
    "Subject",
    "leaves_out",
    "no_service",
    "parts_of",
    "stranded_mail",
    "table_without_rows",
]

QUEUE_DAEMONS: Final = frozenset(
    ("cleanup", "pickup", "qmgr", "showq")
)  # those whose NEEDS name folders of the queue

Subject = Literal["", "queue", "log", "smtp"]  # what a command works on; nothing: it always works


def parts_of(services: Iterable[Service]) -> Parts:
    """What the rows need of the queue directory."""
    rows = tuple(services)
    addresses = [parse_listen(text) for row in rows for text in row.listen]
    paths = [address.path for address in addresses if isinstance(address, SocketPath)]
    return Parts(
        files=any(row.daemon in QUEUE_DAEMONS for row in rows),
        private=any(path.startswith("private/") for path in paths),
        public=any(path.startswith("public/") for path in paths),
        pid=bool(rows),
        maildrop=any(row.daemon == "pickup" for row in rows),
    )


def stranded_mail(queue_directory: str, parts: Parts) -> str:
    """What is wrong when an earlier table left mail behind; else nothing."""
    if parts.files or not holds_mail(queue_directory):
        return ""
    return "there is mail in the queue, and no row of the table works on it"


def leaves_out(snapshot: Snapshot, subject: Subject) -> str:
    """Why there is nothing for a command of that subject; empty if there is something."""
    reason = ""
    match subject:
        case "queue":
            folder = os.path.join(snapshot.parameters.queue_directory, "incoming")
            if not parts_of(snapshot.services).files and not os.path.exists(folder):
                reason = "has no queue"
        case "log":
            is_written = any(row.daemon == "log" for row in snapshot.services)
            if not is_written and not os.path.exists(snapshot.parameters.log_file):
                reason = "has no log"
        case "smtp":
            if not any(_takes_smtp(row) for row in snapshot.services):
                reason = "takes no mail over SMTP"
    return f"{_named(snapshot.profile)} {reason}" if reason else ""


def table_without_rows(queue_directory: str) -> Snapshot | None:
    """The generation that was rendered last, if nothing has to run for it."""
    try:
        latest = GenerationFolder(queue_directory).latest()
    except SnapshotError:  # the next rendering replaces it
        return None
    return None if latest is None or latest.services else latest


def no_service(profile: str) -> str:
    """What is said of a table without rows."""
    return f"{_named(profile)} has no service"


def _named(profile: str) -> str:
    return f"the service table (profile {profile})"


def _takes_smtp(row: Service) -> bool:
    addresses = map(parse_listen, row.listen)
    return row.daemon == "smtpd" and any(isinstance(a, InetAddress) for a in addresses)
