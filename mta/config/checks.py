"""What no single value can tell: how parameters, and parameters and rows, must fit together."""

import ipaddress
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from mta.config.certificates import TLS_PARAMETERS, check_certificate, check_certificate_name
from mta.config.conf import UNWRITABLE, is_writable
from mta.config.delivery_checks import DELIVERY_CHECKS
from mta.config.demands import DEMANDS
from mta.config.effects import EFFECTS
from mta.config.local_checks import LOCAL_CHECKS
from mta.config.parameters import Parameters
from mta.config.problems import complaint, quoted
from mta.config.relaying import RELAYING
from mta.config.row_checks import ROW_CHECKS
from mta.config.table_checks import TABLE_CHECKS
from mta.config.users import check_user
from mta.config.validate import expectation, fields_of
from mta.config.whole import RowCheck, View, ViewCheck, Whole, WholeCheck
from mta.proto.address import parse
from mta.proto.nexthop import UnixDestination, parse_nexthop, split_transport
from mta.util.nameserver import parse_name_server

__all__ = ["check_meaning"]

_NETWORKS: Final = ("mynetworks", "local_header_rewrite_clients")
_WRITTEN: Final = ("queue_directory", "log_file")  # into supervisord.conf
# The classes in the order in which rewrite asks them, and who carries their mail.
_DOMAINS: Final = (
    *("mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"),
)
_CARRIERS: Final = {
    "local_transport": "mydestination",
    "relay_transport": "relay_domains",
    "virtual_transport": "virtual_mailbox_domains",
}
_OPTIONAL: Final = ("default_transport", "mailbox_transport", "fallback_transport")
_TRANSPORTS: Final = (*_OPTIONAL, *_CARRIERS)


def check_meaning(whole: Whole) -> None:
    """Note everything that contradicts itself, and what can have no effect."""
    for check in _CHECKS:
        check(whole)


def _check_hostname(view: View) -> None:
    """The default is the host's own name, which may be anything."""
    hint = fields_of(Parameters)["myhostname"]
    name = view.parameters.myhostname
    try:
        msgspec.convert(name, hint)
    except msgspec.ValidationError:
        found = f"this host's name, {quoted(name)}"
        view.complain(("myhostname",), expectation(hint), found, "set myhostname")


def _check_paths(view: View) -> None:
    for name in _WRITTEN:
        value = getattr(view.parameters, name)
        if not is_writable(value):
            view.complain((name,), UNWRITABLE, quoted(value))


def _check_networks(view: View, *, name: str) -> None:
    for index, network in enumerate(getattr(view.parameters, name)):
        try:
            ipaddress.ip_network(network)
        except ValueError:
            try:
                close = f'did you mean "{ipaddress.ip_network(network, strict=False)}"?'
            except ValueError:
                close = ""
            expected = "a network ADDRESS/LENGTH without host bits"
            view.complain((name,), expected, quoted(network), close, index=index)


def _check_proxies(view: View) -> None:
    for index, address in enumerate(view.parameters.proxy_interfaces):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            expected = "an IPv4 or IPv6 address"
            view.complain(("proxy_interfaces",), expected, quoted(address), index=index)


def _check_name_servers(view: View) -> None:
    for index, server in enumerate(view.parameters.dns_servers):
        try:
            parse_name_server(server)
        except ValueError as error:
            view.complain(("dns_servers",), *complaint(error, server), index=index)


def _check_backoff(view: View) -> None:
    least, most = view.parameters.minimal_backoff_time, view.parameters.maximal_backoff_time
    if least > most and view.sets("minimal_backoff_time"):
        expected = f"at most maximal_backoff_time, {most:g}s"
        view.complain(("minimal_backoff_time",), expected, f"{least:g}s")
    elif least > most:
        expected = f"at least minimal_backoff_time, {least:g}s"
        view.complain(("maximal_backoff_time",), expected, f"{most:g}s")


def _check_optional_transport(whole: Whole, name: str) -> None:
    transport = getattr(whole.parameters, name)
    if transport:
        _check_transport(whole, name, transport)


def _check_transport_of(whole: Whole, name: str, domains: str) -> None:
    transport = getattr(whole.parameters, name)
    if not getattr(whole.parameters, domains):
        return
    if transport:
        _check_transport(whole, name, transport)
    else:
        expected = f"the name of a row, for {domains} has domains"
        whole.problems.add(whole.place_of(name), f"main.{name}", expected, "nothing")


def _check_transport(whole: Whole, name: str, value: str) -> None:
    """A transport must be a row; while that row is switched off, its mail waits in the queue."""
    if not whole.table.rows:
        return  # nobody carries mail here
    transport, _ = split_transport(value)
    place, path, names = whole.place_of(name), f"main.{name}", whole.table.names
    row = whole.table.rows.get(transport)
    if row is None and transport not in names:
        known = f"a row of the service table ({', '.join(sorted(names))})"
        way_out = whole.problems.suggest(transport, names)
        whole.problems.add(place, path, known, quoted(transport), way_out)
    elif row is None:
        way_out = "its mail waits in the queue"
        found = f"{transport}, which is switched off"
        whole.problems.warn(place, path, "a row that is enabled", found, way_out)
    elif f"ipc:private/{transport}" not in row.service.listen:
        expected = f"a row that listens on ipc:private/{transport}"
        found = f"{transport}, which listens on {' '.join(row.service.listen) or 'nothing'}"
        whole.problems.add(place, path, expected, found)


def _check_relayhost(view: View) -> None:
    if view.parameters.relayhost:
        _check_nexthop(view, "relayhost", view.parameters.relayhost)


def _check_fallbacks(view: View) -> None:
    for index, fallback in enumerate(view.parameters.smtp_fallback_relay):
        _check_nexthop(view, "smtp_fallback_relay", fallback, index=index)


def _check_nexthops(whole: Whole) -> None:
    """To agents other than SMTP's a nexthop means something else."""
    for view in whole.views():
        for name in _TRANSPORTS:
            if name in view.unsound or not (view.row is None or view.sets(name)):
                continue
            transport, _, nexthop = getattr(view.parameters, name).partition(":")
            carrier = whole.table.rows.get(transport)
            if nexthop and carrier is not None and carrier.service.daemon in ("smtp", "lmtp"):
                _check_nexthop(view, name, nexthop, over_unix=carrier.service.daemon == "lmtp")


def _check_nexthop(
    view: View, name: str, nexthop: str, *, over_unix: bool = False, index: int | None = None
) -> None:
    try:
        destination = parse_nexthop(nexthop)
    except ValueError as error:
        view.complain((name,), *complaint(error, nexthop), index=index)
    else:
        if isinstance(destination, UnixDestination) and not over_unix:
            expected = "DOMAIN, [HOST] or [HOST]:PORT"
            view.complain((name,), expected, quoted(nexthop), index=index)


def _check_domains(view: View) -> None:
    """A domain is of one class (Postfix: ADDRESS_CLASS_README)."""
    classes: dict[str, str] = {}
    for name in _DOMAINS:
        for index, domain in enumerate(getattr(view.parameters, name)):
            first = classes.setdefault(domain, name)
            if first != name:
                expected = f"a domain that is not in {first}"
                way_out = "take it out of one of the two"
                view.complain((name, first), expected, quoted(domain), way_out, index=index)


def _check_always_bcc(view: View) -> None:
    text = view.parameters.always_bcc
    if text:
        try:
            parse(text)
        except ValueError as error:
            view.complain(("always_bcc",), "an address, or nothing", quoted(text), str(error))


def _check_mailboxes(whole: Whole) -> None:
    parameters = whole.parameters
    row = whole.table.rows.get(parameters.virtual_transport.partition(":")[0])
    if (
        parameters.virtual_mailbox_domains
        and not parameters.virtual_mailbox_base
        and row is not None
        and row.service.daemon == "virtual"
        and not row.service.settings.get("virtual_mailbox_base")
    ):
        expected = "an absolute path, for virtual_mailbox_domains has domains"
        place = whole.place_of("virtual_mailbox_base")
        whole.problems.add(place, "main.virtual_mailbox_base", expected, "nothing")


_CHECKS: Final[tuple[Callable[[Whole], None], ...]] = (
    ViewCheck(("myhostname",), _check_hostname),
    ViewCheck(_WRITTEN, _check_paths),
    *(ViewCheck((name,), partial(_check_networks, name=name)) for name in _NETWORKS),
    ViewCheck(("proxy_interfaces",), _check_proxies),
    ViewCheck(("dns_servers",), _check_name_servers),
    ViewCheck(("minimal_backoff_time", "maximal_backoff_time"), _check_backoff),
    ViewCheck(("relayhost",), _check_relayhost),
    ViewCheck(("smtp_fallback_relay",), _check_fallbacks),
    ViewCheck(TLS_PARAMETERS, check_certificate),
    ViewCheck((*TLS_PARAMETERS, "myhostname"), check_certificate_name),
    *(
        WholeCheck((name,), ("listen",), partial(_check_optional_transport, name=name))
        for name in _OPTIONAL
    ),
    *(
        WholeCheck(each, ("listen",), partial(_check_transport_of, name=each[0], domains=each[1]))
        for each in _CARRIERS.items()
    ),
    ViewCheck(("always_bcc",), _check_always_bcc),
    ViewCheck(_DOMAINS, _check_domains),
    WholeCheck((), ("daemon",), _check_nexthops),
    WholeCheck(
        ("virtual_mailbox_domains", "virtual_mailbox_base", "virtual_transport"),
        ("daemon", "settings"),
        _check_mailboxes,
    ),
    RowCheck(("user", "privileged", "daemon", "listen"), check_user, ("mail_owner",)),
    *DEMANDS,
    *DELIVERY_CHECKS,
    *ROW_CHECKS,
    *RELAYING,
    *LOCAL_CHECKS,
    *TABLE_CHECKS,
    *EFFECTS,
)
