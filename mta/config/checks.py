"""What no single value can tell: how rows and parameters must fit together."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from mta.config.certificates import TLS_PARAMETERS, certificate_problem
from mta.config.conf import UNWRITABLE, is_writable
from mta.config.demands import misfits
from mta.config.parameters import Parameters
from mta.config.snapshot import Service
from mta.config.source import Node, Place, Problems, suggestion
from mta.config.table import SERVICES, Row, Table
from mta.config.users import check_users
from mta.config.validate import expectation, fields_of
from mta.proto.nexthop import UnixDestination, parse_nexthop, split_transport
from mta.util.listen import ListenAddress, PipeAddress, SocketPath, parse_listen
from mta.util.nameserver import parse_name_server

__all__ = ["check_meaning"]

# Two processes would read each other's half lines, or deliver each other's mail.
_SINGLE: Final = ("log", "qmgr")


@dataclass(frozen=True)
class _Whole:
    """A configuration whose single values are all sound."""

    parameters: Parameters
    main: Node
    table: Table
    problems: Problems

    def place_of(self, name: str) -> Place:
        """Where main.yml sets the parameter; the file's beginning if it does not."""
        entries = self.main.value if isinstance(self.main.value, dict) else {}
        return entries[name].place if name in entries else self.main.place

    def views(self) -> Iterator[tuple[Parameters, str, Row | None]]:
        """The parameters as main.yml sets them, then as each row with settings sees them."""
        yield self.parameters, "main", None
        for row in self.table.rows.values():
            if row.service.settings:
                own = msgspec.structs.replace(self.parameters, **row.service.settings)
                yield own, f"services.{row.service.name}.settings", row


def check_meaning(parameters: Parameters, main: Node, table: Table, problems: Problems) -> None:
    """Note everything that contradicts itself."""
    whole = _Whole(parameters, main, table, problems)
    _check_hostname(whole)
    _check_paths(whole)
    _check_networks(whole)
    _check_proxies(whole)
    _check_name_servers(whole)
    _check_backoff(whole)
    _check_transports(whole)
    _check_nexthops(whole)
    _check_domains(whole)
    _check_mailboxes(whole)
    _check_profile(whole)
    _check_certificates(whole)
    _check_addresses(whole)
    check_users(parameters, main, table, problems)
    for row in table.rows.values():
        _check_row(row, problems)


def _check_hostname(whole: _Whole) -> None:
    """The default is the host's own name, which may be anything."""
    hint = fields_of(Parameters)["myhostname"]
    try:
        msgspec.convert(whole.parameters.myhostname, hint)
    except msgspec.ValidationError:
        text = (
            f"this host's name {whole.parameters.myhostname!r} is not {expectation(hint)}: "
            "set myhostname"
        )
        whole.problems.add(whole.place_of("myhostname"), "main.myhostname", text)


def _check_paths(whole: _Whole) -> None:
    for name in ("queue_directory", "log_file"):
        if not is_writable(getattr(whole.parameters, name)):
            whole.problems.add(whole.place_of(name), f"main.{name}", UNWRITABLE)


def _check_networks(whole: _Whole) -> None:
    for parameters, path, row in whole.views():
        for network in parameters.mynetworks:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                _complain(whole, row, f"{path}.mynetworks", str(error))


def _check_proxies(whole: _Whole) -> None:
    for parameters, path, row in whole.views():
        for index, address in enumerate(parameters.proxy_interfaces):
            try:
                ipaddress.ip_address(address)
            except ValueError as error:
                _complain(whole, row, f"{path}.proxy_interfaces[{index}]", str(error))


def _check_name_servers(whole: _Whole) -> None:
    for parameters, path, row in whole.views():
        for index, server in enumerate(parameters.dns_servers):
            try:
                parse_name_server(server)
            except ValueError as error:
                _complain(whole, row, f"{path}.dns_servers[{index}]", str(error))


def _check_backoff(whole: _Whole) -> None:
    for parameters, path, row in whole.views():
        least, most = parameters.minimal_backoff_time, parameters.maximal_backoff_time
        if least > most:
            text = f"{least:g}s is more than maximal_backoff_time, {most:g}s"
            _complain(whole, row, f"{path}.minimal_backoff_time", text)


def _complain(whole: _Whole, row: Row | None, path: str, text: str) -> None:
    name = path.rpartition(".")[2].partition("[")[0]
    place = whole.place_of(name) if row is None else row.place_of("settings")
    if row is None or name in row.service.settings:
        whole.problems.add(place, path, text)


def _check_transports(whole: _Whole) -> None:
    """A transport must be a row; while that row is switched off, its mail waits in the queue."""
    if not whole.table.rows:
        return  # nobody carries mail here
    used = {"default_transport": whole.parameters.default_transport}
    if whole.parameters.relay_domains:
        used["relay_transport"] = whole.parameters.relay_transport
    if whole.parameters.virtual_mailbox_domains:
        used["virtual_transport"] = whole.parameters.virtual_transport
    for name, value in used.items():
        if not value:
            if name == "default_transport":
                continue
            whole.problems.add(whole.place_of(name), f"main.{name}", "required")
            continue
        transport, _ = split_transport(value)
        row = whole.table.rows.get(transport)
        if row is None and transport in whole.table.names:
            continue
        if row is None:
            names = whole.table.names
            text = f"the service table has no row {transport}{suggestion(transport, names)}"
        elif f"ipc:private/{transport}" not in row.service.listen:
            text = f"the row {transport} does not listen on ipc:private/{transport}"
        else:
            continue
        whole.problems.add(whole.place_of(name), f"main.{name}", text)


def _check_nexthops(whole: _Whole) -> None:
    for parameters, path, row in whole.views():
        named = {"relayhost": parameters.relayhost} if parameters.relayhost else {}
        for index, fallback in enumerate(parameters.smtp_fallback_relay):
            named[f"smtp_fallback_relay[{index}]"] = fallback
        for name, nexthop in named.items():
            _check_nexthop(whole, row, f"{path}.{name}", nexthop)
        for name in ("default_transport", "relay_transport", "virtual_transport"):
            transport, _, nexthop = getattr(parameters, name).partition(":")
            carrier = whole.table.rows.get(transport)
            # To the other agents a nexthop means something else.
            if nexthop and carrier is not None and carrier.service.daemon in ("smtp", "lmtp"):
                over_unix = carrier.service.daemon == "lmtp"
                _check_nexthop(whole, row, f"{path}.{name}", nexthop, over_unix=over_unix)


def _check_nexthop(
    whole: _Whole, row: Row | None, path: str, nexthop: str, *, over_unix: bool = False
) -> None:
    try:
        destination = parse_nexthop(nexthop)
    except ValueError as error:
        _complain(whole, row, path, str(error))
    else:
        if isinstance(destination, UnixDestination) and not over_unix:
            text = f"expected DOMAIN, [HOST] or [HOST]:PORT, got {nexthop!r}"
            _complain(whole, row, path, text)


def _check_domains(whole: _Whole) -> None:
    """A domain is of one class (ADDRESS_CLASS_README)."""
    for parameters, path, row in whole.views():
        here = set(parameters.virtual_mailbox_domains)
        for index, domain in enumerate(parameters.relay_domains):
            if domain in here:
                text = f"{domain} is also in virtual_mailbox_domains: take it out of one of the two"
                _complain(whole, row, f"{path}.relay_domains[{index}]", text)


def _check_mailboxes(whole: _Whole) -> None:
    parameters = whole.parameters
    row = whole.table.rows.get(parameters.virtual_transport.partition(":")[0])
    if (
        parameters.virtual_mailbox_domains
        and not parameters.virtual_mailbox_base
        and row is not None
        and row.service.daemon == "virtual"
        and not row.service.settings.get("virtual_mailbox_base")
    ):
        text = "required, for virtual_mailbox_domains has domains"
        path = "main.virtual_mailbox_base"
        whole.problems.add(whole.place_of("virtual_mailbox_base"), path, text)


def _check_profile(whole: _Whole) -> None:
    for misfit in misfits(whole.parameters, whole.table):
        name = misfit.parameter
        whole.problems.add(whole.place_of(name), f"main.{name}", misfit.text)


def _check_certificates(whole: _Whole) -> None:
    for parameters, path, row in whole.views():
        problem = certificate_problem(parameters)
        if problem is None:
            continue
        names = (problem.parameter, *TLS_PARAMETERS)
        # What a row inherits whole was said of main.yml already.
        own = [name for name in names if row is None or name in row.service.settings]
        if own:
            _complain(whole, row, f"{path}.{own[0]}", problem.text)


def _check_addresses(whole: _Whole) -> None:
    """One listener a place: a path is taken whatever its kind, and a pipe has one reader."""
    owners: dict[ListenAddress | str, str] = {}
    rows = whole.table.rows.values()
    # The operator's rows come last: what is wrong is said of them, not of the profile.
    for row in sorted(rows, key=lambda row: row.place_of("listen").file == SERVICES):
        for index, text in enumerate(row.service.listen):
            address = parse_listen(text)
            place = address.path if isinstance(address, SocketPath) else address
            path = f"services.{row.service.name}.listen[{index}]"
            if place in owners:
                found = f"{text} is already taken by services.{owners[place]}"
                whole.problems.add(row.place_of("listen", index), path, found)
            owners.setdefault(place, row.service.name)


def _check_row(row: Row, problems: Problems) -> None:
    service, path = row.service, f"services.{row.service.name}"
    for index, argument in enumerate(service.command):
        if not is_writable(argument):
            problems.add(row.place_of("command", index), f"{path}.command[{index}]", UNWRITABLE)
    if service.command and not service.command[0].startswith("/"):
        text = f"expected an absolute path of a program, got {service.command[0]!r}"
        problems.add(row.place_of("command", 0), f"{path}.command[0]", text)
    pipes = any(isinstance(parse_listen(text), PipeAddress) for text in service.listen)
    if service.numprocs > 1 and (pipes or service.daemon in _SINGLE):
        text = f"{service.daemon} can only run as one process"
        problems.add(row.place_of("numprocs"), f"{path}.numprocs", text)
    if service.min_free > service.numprocs:
        text = f"more than numprocs, {service.numprocs}"
        problems.add(row.place_of("min_free"), f"{path}.min_free", text)
    if _is_unreachable(service):
        text = "nothing would ever start it: give it listen, wakeup, min_free or restart: always"
        problems.add(row.place, path, text)


def _is_unreachable(service: Service) -> bool:
    wanted = service.listen or service.wakeup or service.min_free
    return service.restart == "on_demand" and not wanted
