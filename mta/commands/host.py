"""Whether this host is as the configuration needs it: owners, modes, and who could change what.

    queue directory        as mta.queue.layout has it, to the bit; what root wrote there is root's
    logs                   the mail log's user adds files, and cannot touch the master's own
    mailboxes              their user's alone
    configuration, code    nobody but root changes what root reads and runs
    ways                   each row's user gets to what it needs; nobody can turn a way elsewhere
    keys                   not for everybody to read
    tables                 for those to read who answer from them

That is for a master that root runs. Where another user does, all is that user's: there the queue
directory is the same, and of the rest only what everybody could write is a fault.
"""

import os
import stat
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

import mta
from mta.commands.extent import parts_of, stranded_mail
from mta.commands.log_folders import log_folder
from mta.config.compile import MAIN, Configuration
from mta.config.parameters import Parameters
from mta.config.problems import Place, Problem, Severity
from mta.config.provenance import ORIGIN_MODE
from mta.config.render import template_directory
from mta.config.snapshot import Service
from mta.config.table import SERVICES
from mta.config.tables import tables_of
from mta.config.users import lacking
from mta.lookup.places import files_of
from mta.queue.layout import LOCKS, MAILDROP_MODE, Keepers, table
from mta.util.distant import open_distant
from mta.util.ownership import (
    Account,
    Ownership,
    account,
    components,
    described,
    may,
    stranger,
)

__all__ = ["faults", "house_of", "is_ours", "keepers_of", "lacks"]

_ROOT: Final = 0
_FILE_MODE: Final = 0o644
_OTHERS: Final = 0o007
_PATIENCE: Final = 1.0  # seconds for a file server


@dataclass(frozen=True)
class _Host:
    """A configuration, and who is who for it."""

    configuration: Configuration
    keepers: Keepers
    is_root: bool
    trusted: frozenset[int]  # who may change what the master reads, runs and writes to
    users: dict[str, Account]  # of the rows; empty where one user runs all

    @property
    def parameters(self) -> Parameters:
        return self.configuration.parameters

    @property
    def render(self) -> str:
        return "run mta render as root" if self.is_root else "run mta render"

    def user_of(self, row: Service) -> Account | None:
        return self.users.get(row.user)

    def views(self, daemon: str) -> Iterator[tuple[Service, Parameters]]:
        """The rows of a daemon, and the parameters as each sees them."""
        snapshot = self.configuration.snapshot(1, 0.0)
        for row in snapshot.services:
            if row.daemon == daemon:
                yield row, snapshot.parameters_for(row)


def keepers_of(parameters: Parameters) -> Keepers:
    """To whom the queue directory belongs when this user renders it for a table with rows."""
    if os.geteuid() != _ROOT:
        return Keepers.alone()
    return Keepers.separated(parameters.mail_owner, parameters.private_group)


def house_of(configuration: Configuration) -> Keepers:
    """The same for a whole configuration: without a row all is whose who renders it."""
    return keepers_of(configuration.parameters) if configuration.services else Keepers.alone()


def is_ours(configuration: Configuration) -> bool:
    """Whether there is a queue directory that this user can judge."""
    try:
        owner = os.stat(configuration.parameters.queue_directory).st_uid
    except OSError:
        return False
    return os.geteuid() in (_ROOT, owner)


def lacks(configuration: Configuration) -> list[Problem]:
    """Users and groups that this host should have, in the order of the files; for root alone."""
    if os.geteuid() != _ROOT:
        return []
    place = configuration.place_of
    found = lacking(configuration.parameters, configuration.services)
    return sorted(
        Problem(place(lack.name), lack.name, lack.expected, lack.found, lack.suggestion)
        for lack in found
    )


def faults(configuration: Configuration) -> list[Problem]:
    """All that is wrong on this host, in the order of the paths; it must be ours to judge.

    Without the users it cannot be said what should be whose.
    """
    missing = lacks(configuration)
    if missing:
        return missing
    is_root = os.geteuid() == _ROOT
    users = {row.user for row in configuration.services if row.user} if is_root else set()
    host = _Host(
        configuration=configuration,
        keepers=house_of(configuration),
        is_root=is_root,
        trusted=frozenset({_ROOT, os.geteuid()}),
        users={name: account(name) for name in sorted(users)},
    )
    looks = (
        *(_queue, _contents, _logs, _mailboxes, _maildrop, _sources),
        *(_keys, _tables, _changeable, _closed),
    )
    return sorted({fault for look in looks for fault in look(host)})


def _queue(host: _Host) -> Iterator[Problem]:
    top = host.parameters.queue_directory
    parts = parts_of(host.configuration.services)
    if stranded := stranded_mail(top, parts):
        way_out = "enable qmgr and cleanup again, or use `mta queue delete`"
        yield _fault(top, "no mail in a queue that no row works on", stranded, way_out)
    for name, wanted in table(host.keepers, parts).items():
        path = os.path.join(top, name) if name else top
        found = _look(path, follow=not name)
        kind = stat.S_ISREG if name in LOCKS else stat.S_ISDIR
        if found is None:
            yield _fault(path, str(wanted), "nothing", host.render)
        elif not kind(found.st_mode):
            expected = "a regular file" if name in LOCKS else "a directory"
            way_out = f"move it away, then {host.render}"
            yield _fault(path, expected, _shown(found), way_out)
        elif not wanted.holds(found):
            # Root takes nothing from others in a folder that is not root's.
            within = "/" in name and name not in LOCKS
            taken = found.st_uid in (_ROOT, wanted.owner) or (bool(name) and not within)
            yield _differs(path, wanted, found, host.render if taken else wanted.commands)


def _contents(host: _Host) -> Iterator[Problem]:
    """What the master and `mta render` wrote into the queue directory."""
    top = host.parameters.queue_directory
    for path in _listed(os.path.join(top, "config")):
        if path.endswith(".new"):
            continue  # a rendering that was killed left it, and the next removes it
        mode = ORIGIN_MODE if path.endswith(".origin.json") else _FILE_MODE
        written = Ownership(*host.keepers.house, mode)
        found = _look(path)
        if found is not None and not (written.holds(found) and stat.S_ISREG(found.st_mode)):
            yield _differs(path, written, found, written.commands)
    for folder in ("pid", "private", "public"):
        for path in _listed(os.path.join(top, folder)):
            found = _look(path)
            if found is None or os.path.relpath(path, top) in LOCKS:
                continue
            mode = stat.S_IMODE(found.st_mode)
            safe = mode & _most_open(folder, found)
            if mode != safe or found.st_uid not in host.trusted:
                wanted = Ownership(*host.keepers.house, safe)
                yield _differs(path, wanted, found, "remove it while the master does not run")


def _most_open(folder: str, found: os.stat_result) -> int:
    """The widest mode that is safe: of daemons' sockets, of the master's files and socket."""
    if folder != "pid":
        return 0o777
    return 0o755 if stat.S_ISREG(found.st_mode) else 0o700


def _logs(host: _Host) -> Iterator[Problem]:
    configuration, (owner, group) = host.configuration, host.keepers.mail
    folder = configuration.log_directory
    found = _look(folder, follow=True)
    if found is None:
        return  # log_file may have been changed just now: the next rendering makes its folders
    if host.is_root:
        wanted = log_folder(host.keepers)
        if not wanted.holds(found):
            yield _differs(folder, wanted, found, f"if it is for this log alone, {wanted.commands}")
    else:
        yield from _open_to_everybody(folder, found)
    master = Ownership(*host.keepers.house, 0o700)
    found = _look(configuration.master_logs)
    if found is not None and not (master.holds(found) and stat.S_ISDIR(found.st_mode)):
        yield _differs(configuration.master_logs, master, found, master.commands)
    path = host.parameters.log_file
    found = _look(path)
    if found is not None and (found.st_uid != owner or found.st_mode & _OTHERS):
        wanted = Ownership(owner, group, 0o640)
        yield _differs(path, wanted, found, wanted.commands)


def _mailboxes(host: _Host) -> Iterator[Problem]:
    for row, parameters in host.views("virtual"):
        base = parameters.virtual_mailbox_base
        if not base or not parameters.virtual_mailbox_domains:
            continue
        user = host.user_of(row)
        wanted = Ownership(*host.keepers.mail, 0o700)
        if user is not None:
            wanted = Ownership(user.uid, user.groups[0], 0o700)
        found = _look(base, follow=True)
        if found is None:
            yield _fault(base, str(wanted), "nothing", f"make it, then {wanted.commands}")
        elif not wanted.owned(found) or (host.is_root and found.st_mode & 0o027):
            yield _differs(base, wanted, found, wanted.commands)
        else:
            yield from _open_to_everybody(base, found)


def _maildrop(host: _Host) -> Iterator[Problem]:
    """A maildrop outside of the queue directory: on a host that only sends, a file server's."""
    path = host.parameters.maildrop_directory
    if not path:
        return
    is_reader = any(row.daemon == "pickup" for row in host.configuration.services)
    try:
        opened = open_distant(path, _PATIENCE)
    except (FileNotFoundError, NotADirectoryError):
        found = None
    except OSError as error:
        # A server that is away is no reason not to start: the rest of the system needs it not.
        away = _fault(path, "a directory", str(error), "see to the file server")
        yield msgspec.structs.replace(away, severity=Severity.WARNING)
        return
    else:
        found = opened.status
        opened.close()
    if found is None or not stat.S_ISDIR(found.st_mode):
        shown = "nothing" if found is None else _shown(found)
        yield _fault(path, "a directory", shown, "mount the file server's, or make one")
        return
    # Only the host that reads it must agree with the file server on whose it is.
    owner = host.keepers.mail if is_reader else (found.st_uid, found.st_gid)
    wanted = Ownership(*owner, MAILDROP_MODE)
    if not wanted.holds(found):
        yield _differs(path, wanted, found, f"mount it, or {wanted.commands}")


def _sources(host: _Host) -> Iterator[Problem]:
    """The two files that an operator writes."""
    for name in (MAIN, SERVICES):
        path = os.path.join(host.configuration.directory, name)
        yield from _foreign(host, (path,))


def _keys(host: _Host) -> Iterator[Problem]:
    """That the row may read its key, too: root could, when it checked the configuration."""
    for row, parameters in host.views("smtpd"):
        path = parameters.smtpd_tls_key_file or parameters.smtpd_tls_cert_file
        if parameters.smtpd_tls_security_level == "none" or not path:
            continue
        found, user = _look(path, follow=True), host.user_of(row)
        if found is not None and user is not None and not may(user, found, os.R_OK):
            remedy = "chmod 0640, and chgrp to a group of the row's user alone (mtatls)"
            expected = f"a file that {user.name} can read"
            yield _fault(path, expected, described(found), remedy)


def _tables(host: _Host) -> Iterator[Problem]:
    """That the row which answers from a table may read it, too."""
    for row, path in _table_files(host):
        found, user = _look(path, follow=True), host.user_of(row)
        if found is not None and user is not None and not may(user, found, os.R_OK):
            remedy = f"chmod 0640, and chgrp to a group of {user.name} alone"
            yield _fault(path, f"a table that {user.name} can read", described(found), remedy)


def _table_files(host: _Host) -> Iterator[tuple[Service, str]]:
    snapshot = host.configuration.snapshot(1, 0.0)
    tables = tables_of(map(snapshot.parameters_for, snapshot.services))
    for daemon, blocking in (("rewrite", False), ("lookup", True)):
        for row, _ in host.views(daemon):
            for name in tables:
                if name.blocking is blocking:
                    yield from ((row, path) for path in files_of(name))


def _changeable(host: _Host) -> Iterator[Problem]:
    """Folders on the way to what the master reads, runs and writes, and the code itself."""
    configuration = host.configuration
    ways = (
        configuration.directory,
        os.path.dirname(os.path.abspath(host.parameters.queue_directory)),
        os.path.dirname(configuration.log_directory),
        *_code(configuration),
    )
    yield from _foreign(host, (part for way in ways for part in components(way)))
    yield from _foreign(host, _modules())


def _closed(host: _Host) -> Iterator[Problem]:
    """What a row's user cannot read, or cannot pass on its way."""
    shut: dict[str, set[str]] = {}
    for user, path in _needed(host):
        found = _look(path, follow=True)
        if found is not None and not may(user, found, _to_use(found)):
            shut.setdefault(path, set()).add(user.name)
    for path, names in shut.items():
        found = _look(path, follow=True)
        if found is not None:
            bit = "x" if _to_use(found) == os.X_OK else "r"
            who = ", ".join(sorted(names))
            yield _fault(path, f"a way that is open to {who}", described(found), f"chmod o+{bit}")


def _to_use(found: os.stat_result) -> int:
    return os.X_OK if stat.S_ISDIR(found.st_mode) else os.R_OK


def _needed(host: _Host) -> Iterator[tuple[Account, str]]:
    """Which user must get through what."""
    ways = (*_code(host.configuration), host.parameters.queue_directory)
    parts = {part for way in ways for part in components(way)}
    parts.update(path for path in _modules() if "__pycache__" not in path)  # a cache may be missed
    yield from ((user, part) for user in host.users.values() for part in parts)
    own = (
        *((row, seen.log_file) for row, seen in host.views("log")),
        *((row, seen.virtual_mailbox_base) for row, seen in host.views("virtual")),
        *((row, seen.smtpd_tls_key_file) for row, seen in host.views("smtpd")),
        *((row, row.command[0]) for row in host.configuration.services if row.command),
        *_table_files(host),
    )
    for row, path in own:
        if path and row.user in host.users:
            yield from ((host.users[row.user], part) for part in components(os.path.dirname(path)))


def _code(configuration: Configuration) -> tuple[str, ...]:
    """The interpreter, by its name and where it really lies; the libraries; the package."""
    return (
        os.path.dirname(configuration.python),
        configuration.python,
        sysconfig.get_path("purelib"),
        os.path.dirname(os.path.abspath(mta.__file__)),
        template_directory(),
    )


def _modules() -> Iterator[str]:
    """Each library's file or folder, and all that is in the package."""
    yield from _listed(sysconfig.get_path("purelib"))
    for folder, _, names in os.walk(os.path.dirname(os.path.abspath(mta.__file__))):
        yield folder
        yield from (os.path.join(folder, name) for name in names)


def _foreign(host: _Host, paths: Iterable[str]) -> Iterator[Problem]:
    for path in paths:
        found = _look(path)
        if found is None:
            continue
        who = stranger(found, host.trusted, groups=not host.is_root)
        if who:
            remedy = "chown root, chmod go-w" if host.is_root else "chmod o-w"
            expected = f"what {who} could not change"
            yield _fault(path, expected, described(found), remedy)


def _open_to_everybody(path: str, found: os.stat_result) -> Iterator[Problem]:
    if found.st_mode & stat.S_IWOTH:
        yield _fault(path, "what everybody could not change", described(found), "chmod o-w")


def _differs(path: str, wanted: Ownership, found: os.stat_result, remedy: str) -> Problem:
    return _fault(path, str(wanted), _shown(found), remedy)


def _shown(found: os.stat_result) -> str:
    return f"{'a symbolic link, ' if stat.S_ISLNK(found.st_mode) else ''}{described(found)}"


def _fault(path: str, expected: str, found: str, remedy: str) -> Problem:
    return Problem(Place(path), "", expected, found, remedy)


def _look(path: str, *, follow: bool = False) -> os.stat_result | None:
    """What is there; None if nothing is, or it went meanwhile."""
    try:
        return os.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _listed(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    except (FileNotFoundError, NotADirectoryError):
        return []
