"""The sandbox: what a daemon may still do once it knows what it is.

Entered after check-in and before loop and threads, for a thread that runs already stays free:
no_new_privs, resource limits, then Landlock. It is made from what the daemon's module declares;
the interpreter's own files and a few of the system's are granted to all. Nothing can be executed
but by a daemon that runs commands, and no TCP port can be bound: listeners come from the master.
"""

import os
import resource
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Final

from msgspec import Struct

import mta
from mta.config.parameters import Parameters
from mta.config.snapshot import SNAPSHOT_DIRECTORY
from mta.util.distant import Opened, open_distant
from mta.util.landlock import LEAST_ABI, landlock_abi, restrict
from mta.util.libc import no_new_privileges
from mta.util.log import Log
from mta.util.nameserver import DOMAIN_PORT, parse_name_server
from mta.util.processes import limit_processes

__all__ = ["Needs", "SandboxError", "enter_sandbox", "expand"]

_SYSTEM: Final = (
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/ssl",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/share/zoneinfo",
    "/dev/null",
    "/dev/urandom",
)
_DEVICES: Final = ("/dev/null",)  # that every program takes for granted
_LIBRARIES: Final = ("lib", "lib64")  # below the interpreter's prefixes
# A client may need descriptors for its socket, its transaction, and a file or two.
_DESCRIPTORS_A_CLIENT: Final = 4
_DESCRIPTORS_OF_ITS_OWN: Final = 64
_PATIENCE: Final = 1.0  # seconds for a file server


class SandboxError(Exception):
    """What the daemon declares cannot be granted."""


class Needs(Struct, frozen=True, kw_only=True):
    """What a daemon's module declares: files and TCP ports beyond what all daemons get.

    Paths are absolute or relative to the queue directory, and name what exists at start. A path
    may begin with the name of a parameter: "$virtual_mailbox_base"; ".." is resolved by the text
    alone, so that "$log_file/.." is the folder that the log file lies in.

    `replaced` are files that others put new ones in place of while the daemon runs, such as
    certificates. The kernel grants a file and not its name, so their folders are granted: the one
    that the name lies in and, if that is a link, the one that it leads to. A folder that does not
    exist is passed over there; a parameter that is empty is so in `write` and `move`, too: the
    daemon runs, and says of each piece of work why it cannot be done.

    `move` are folders named in `write` too, into which links, pipes and sockets may be moved from
    each other. To the kernel that is to make them, so nobody else gets it; devices stay out, for a
    device can be a way to the whole disk.

    `distant` are folders named in `write` that a file server may hold. One that cannot be had
    within a second is not granted: the daemon runs, is refused there, and retires for another.
    """

    read: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()  # for reading
    write: tuple[str, ...] = ()  # to create, rename and remove too
    move: tuple[str, ...] = ()  # whatever strange files lie there
    distant: tuple[str, ...] = ()  # which may be away
    tcp_connect: tuple[int, ...] = ()
    tcp_connect_any: bool = False  # to any port: for clients of hosts that a route names
    name_servers: bool = False  # to ask the DNS, over TCP too: the ports of dns_servers
    tables: bool = False  # the folders of all tables that a parameter of any row names
    table_servers: bool = False  # the TCP ports of such tables
    # To run an operator's programs: the parameter that says where they may write.
    commands: str = ""
    strangers: bool = False  # no file: any user of the host may connect to its public sockets


def enter_sandbox(
    needs: Needs,
    parameters: Parameters,
    client_limit: int,
    log: Log,
    rows: Iterable[Parameters] = (),
) -> None:
    """Give up all that `needs` does not name; SandboxError names what cannot be granted.

    `rows`: the parameters as each row sees them, where tables are needed. A kernel without Landlock
    is told to the log, and the daemon runs with the rest.
    """
    no_new_privileges()
    _limit_resources(client_limit, log)
    if needs.commands:
        limit_processes()
    abi = landlock_abi()
    if abi < LEAST_ABI:
        log.warning("sandbox_incomplete", missing="landlock", abi=abi)
        return
    tables, ports = _granted_to_tables(needs, rows)
    programs, theirs = _granted_to_commands(needs, parameters)
    with ExitStack() as stack:
        distant = _reached(needs, parameters, log, stack)
        write, moved = (
            tuple(_writable(paths, parameters, distant)) for paths in (needs.write, needs.move)
        )
        try:
            restrict(
                read=[*_common(), *_readable(needs, parameters), *tables],
                write=[*write, *theirs, *(_DEVICES if needs.commands else ())],
                move=[*moved, *theirs],
                execute=programs,
                tcp_connect=_tcp_ports(needs, parameters, ports),
            )
        except OSError as error:
            raise SandboxError(f"NEEDS {error.filename or ''}: {error.strerror}") from error


def _reached(
    needs: Needs, parameters: Parameters, log: Log, stack: ExitStack
) -> dict[str, Opened | None]:
    """The distant folders as `needs` names them, open until the end of the stack; None: away."""
    found: dict[str, Opened | None] = {}
    for path in needs.distant:
        if _is_unset(path, parameters):
            continue
        name = expand(path, parameters)
        try:
            opened = open_distant(name, _PATIENCE)
        except OSError as error:
            log.warning("folder_away", directory=name, reason=str(error))
            found[path] = None
        else:
            stack.callback(opened.close)
            found[path] = opened
    return found


def _writable(
    paths: Iterable[str], parameters: Parameters, distant: dict[str, Opened | None]
) -> Iterator[str | Opened]:
    for path in paths:
        if path in distant:
            opened = distant[path]
            if opened is not None:
                yield opened
        elif not _is_unset(path, parameters):
            yield expand(path, parameters)


def expand(path: str, parameters: Parameters) -> str:
    """A path of `Needs` with its parameter's value in place, normalised."""
    if not path.startswith("$"):
        return os.path.normpath(path)
    name, _, rest = path[1:].partition("/")
    value = getattr(parameters, name, None)
    if not isinstance(value, str) or not value:
        raise SandboxError(f"NEEDS {path}: the parameter {name} holds no path")
    return os.path.normpath(os.path.join(value, rest))


def _is_unset(path: str, parameters: Parameters) -> bool:
    """Whether it is a parameter alone that has no value: nothing is granted, the daemon runs."""
    return path.startswith("$") and getattr(parameters, path[1:], None) == ""


def _granted_to_tables(
    needs: Needs, rows: Iterable[Parameters]
) -> tuple[frozenset[str], frozenset[int]]:
    """The folders of the tables, and the ports of those who answer for some."""
    if not needs.tables:
        return frozenset(), frozenset()
    from mta.config.tables import tables_of  # noqa: PLC0415 - few daemons have tables
    from mta.lookup.places import folders_of, ports_of  # noqa: PLC0415

    try:
        names = tables_of(rows)
        return folders_of(names), ports_of(names) if needs.table_servers else frozenset()
    except ValueError as error:
        raise SandboxError(f"NEEDS tables: {error}") from error


def _granted_to_commands(
    needs: Needs, parameters: Parameters
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where commands may read and execute, and where they may write, too.

    A command is whatever an operator chose, with libraries, interpreters and files that nobody here
    knows. So it reads and executes what its user may; what it may change is named.
    """
    if not needs.commands:
        return (), ()
    return ("/",), getattr(parameters, needs.commands.removeprefix("$"))


def _tcp_ports(needs: Needs, parameters: Parameters, tables: Iterable[int]) -> list[int] | None:
    if needs.tcp_connect_any:
        return None
    return [*needs.tcp_connect, *_name_server_ports(needs, parameters), *tables]


def _name_server_ports(needs: Needs, parameters: Parameters) -> set[int]:
    if not needs.name_servers:
        return set()
    return {parse_name_server(text).port for text in parameters.dns_servers} or {DOMAIN_PORT}


def _common() -> Iterator[str]:
    """What every daemon may read, as far as it is there."""
    # Libraries and our package alone, not the folders around them: the queue may lie in those.
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    libraries = {os.path.join(prefix, name) for prefix in prefixes for name in _LIBRARIES}
    libraries.update(path for path in sys.path if path.endswith("-packages"))
    package = os.path.dirname(os.path.abspath(mta.__file__))
    for path in (*sorted(libraries), package, SNAPSHOT_DIRECTORY, *_SYSTEM):
        if os.path.exists(path):
            yield path


def _readable(needs: Needs, parameters: Parameters) -> Iterator[str]:
    """What the daemon itself wants to read."""
    for path in needs.read:
        yield expand(path, parameters)
    for path in needs.replaced:
        if _is_unset(path, parameters):
            continue
        name = expand(path, parameters)
        for folder in {os.path.dirname(name), os.path.dirname(os.path.realpath(name))}:
            if os.path.isdir(folder):
                yield folder


def _limit_resources(client_limit: int, log: Log) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core holds other people's mail
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = client_limit * _DESCRIPTORS_A_CLIENT + _DESCRIPTORS_OF_ITS_OWN
    if wanted > soft:
        granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
        if granted < wanted:
            log.warning("descriptors_limited", wanted=wanted, granted=granted)
