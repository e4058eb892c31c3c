"""What can have no effect: warnings, for nothing fails by it but the operator's hope.

    a parameter that no enabled row uses           a key of a row that its other keys make void
    parameters that make each other void           a private socket that nobody connects to

Of a default nothing is said: somebody must have set what is void.
"""

from collections.abc import Callable
from typing import Final

from mta.config.parameters import Parameters
from mta.config.problems import Severity, quoted
from mta.config.table import Row
from mta.config.uses import uses
from mta.config.validate import fields_of
from mta.config.whole import RowCheck, View, ViewCheck, Whole, WholeCheck
from mta.proto.nexthop import Destination, parse_nexthop, split_transport

__all__ = ["EFFECTS"]

_NO_ROWS: Final = frozenset(("master", "sendmail"))  # they are there whatever the table says
# Services that daemons look for under these names, whatever transports there are.
_KNOWN_SERVICES: Final = frozenset(
    ("bounce", "cleanup", "discard", "error", "lookup", "mailuser", "resolver", "rewrite"),
)


def _warn_of_unused(whole: Whole) -> None:
    """A parameter of main.yml that no row uses, or that each such row sets for itself."""
    rows = [row.service for row in whole.table.rows.values()]
    for name, node in whole.main.items():
        if name not in fields_of(Parameters) or name in whole.unsound:
            continue
        users = frozenset(uses()[name].by)
        if any(row.daemon in users or row.command for row in rows if name not in row.settings):
            continue
        if users & _NO_ROWS:
            continue
        expected = f"a parameter that a row uses ({', '.join(sorted(users))})"
        if any(row.daemon in users for row in rows):
            found = f"{name}, which each of these rows sets for itself"
        else:
            found = f"{name}, and none of these is enabled"
        whole.problems.warn(node.key, f"main.{name}", expected, found, "remove it")


def _warn_of_unused_settings(whole: Whole, row: Row) -> None:
    service = row.service
    for name in service.settings:
        users = frozenset(uses()[name].by)
        if service.daemon not in users and not service.command:
            expected = f"a parameter that {service.daemon} uses"
            found = f"{name}, which is for {', '.join(sorted(users))}"
            place, path = row.place_of_setting(name), f"services.{service.name}.settings.{name}"
            whole.problems.warn(place, path, expected, found, "remove it")


def _warn(view: View, name: str, expected: str, found: str, way_out: str = "") -> None:
    view.complain((name,), expected, found, way_out, severity=Severity.WARNING)


def _warn_of_relayhost(view: View) -> None:
    transport = view.parameters.default_transport
    relayhost = view.parameters.relayhost
    if not view.sets("relayhost") or not relayhost:
        return
    if not transport:
        _warn(view, "relayhost", "default_transport to name a row that carries mail", "nothing")
    elif split_transport(transport)[1]:
        expected = "default_transport without a nexthop of its own"
        _warn(view, "relayhost", expected, quoted(transport), "remove one of the two")


def _warn_of_ourselves(view: View) -> None:
    """Mail that goes to ourselves comes back until it has too many Received fields."""
    relayhost = view.parameters.relayhost
    try:
        destination = parse_nexthop(relayhost)
    except ValueError:
        return  # nothing, or said
    if isinstance(destination, Destination) and destination.host == view.parameters.myhostname:
        _warn(view, "relayhost", "another host", f"{quoted(relayhost)}, which is this one")


def _warn_of_tls_files(view: View) -> None:
    for name in ("smtpd_tls_cert_file", "smtpd_tls_key_file"):
        is_off = view.parameters.smtpd_tls_security_level == "none"
        if is_off and view.sets(name) and getattr(view.parameters, name):
            _warn(view, name, "smtpd_tls_security_level to offer TLS", "none", "set it to may")


def _warn_of_preference(view: View) -> None:
    preference, protocols = view.parameters.smtp_address_preference, view.parameters.inet_protocols
    if {preference, protocols} == {"ipv4", "ipv6"} and view.sets("smtp_address_preference"):
        expected = f"a preference that inet_protocols, {protocols}, leaves open"
        _warn(view, "smtp_address_preference", expected, preference)


def _warn_of_log_name(view: View) -> None:
    if view.sets("syslog_name") and view.parameters.log_format != "classic":
        expected, found = "log_format: classic, which alone has it", view.parameters.log_format
        _warn(view, "syslog_name", expected, found)


def _warn_of_lifetime(view: View) -> None:
    least = view.parameters.minimal_backoff_time
    for name in ("maximal_queue_lifetime", "bounce_queue_lifetime"):
        lifetime = getattr(view.parameters, name)
        if view.sets(name) and 0 < lifetime < least:
            expected = (
                f"0, or at least minimal_backoff_time, {least:g}s: sooner is no second attempt"
            )
            _warn(view, name, expected, f"{lifetime:g}s")


def _warn_of_reuse(view: View) -> None:
    name, cached = "smtp_connection_reuse_time_limit", "smtp_connection_cache_time_limit"
    if view.sets(name) and not getattr(view.parameters, cached):
        _warn(view, name, f"{cached} to keep sessions for another use", "0s")


def _warn_of_delay(view: View) -> None:
    delay, lifetime = view.parameters.delay_warning_time, view.parameters.maximal_queue_lifetime
    if view.sets("delay_warning_time") and 0 < lifetime <= delay:
        expected = f"less than maximal_queue_lifetime, {lifetime:g}s, when mail is given up"
        _warn(view, "delay_warning_time", expected, f"{delay:g}s")


def _warn_of_free_space(view: View) -> None:
    least, size = view.parameters.queue_minfree, view.parameters.message_size_limit
    if view.sets("queue_minfree") and 0 < least < size:
        expected = f"0, or at least message_size_limit, {size}: mail of that size would not fit"
        _warn(view, "queue_minfree", expected, str(least))


def _warn_of_mailbox_limit(view: View) -> None:
    limit, size = view.parameters.virtual_mailbox_limit, view.parameters.message_size_limit
    if view.sets("virtual_mailbox_limit") and 0 < limit < size:
        expected = f"0, or at least message_size_limit, {size}: what is taken would be returned"
        _warn(view, "virtual_mailbox_limit", expected, str(limit))


def _no_more_than(name: str, other: str) -> ViewCheck:
    """What goes beyond another parameter has no effect."""

    def warn(view: View) -> None:
        value, limit = getattr(view.parameters, name), getattr(view.parameters, other)
        if view.sets(name) and value > limit:
            _warn(view, name, f"at most {other}, {limit}, beyond which nothing comes", str(value))

    return ViewCheck((name, other), warn)


def _warn_of_postmaster(whole: Whole) -> None:
    """RFC 5321, 4.5.1: mail to postmaster must be taken, so it should have a place to go to."""
    parameters = whole.parameters
    row = whole.table.rows.get(parameters.virtual_transport.partition(":")[0])
    if row is None or row.service.daemon != "virtual" or parameters.virtual_mailbox_domains:
        return
    if not (parameters.virtual_mailbox_base or row.service.settings.get("virtual_mailbox_base")):
        expected = f"an absolute path, for the mailbox of postmaster@{parameters.myhostname}"
        place = whole.place_of("virtual_mailbox_base")
        whole.problems.warn(place, "main.virtual_mailbox_base", expected, "nothing")


def _warn_of_unnamed(whole: Whole) -> None:
    """Of the profile's own rows nothing is said: they wait for a transport to name them."""
    named = set(_KNOWN_SERVICES)
    if any(view.parameters.transport_maps for view in whole.views()):
        return  # they may name any
    for view in whole.views():
        for name in fields_of(Parameters):
            if name.endswith("_transport"):
                named.add(getattr(view.parameters, name).partition(":")[0])
    for row in whole.table.rows.values():
        for index, address in enumerate(row.service.listen if row.says("listen") else ()):
            kind, _, path = address.partition(":private/")
            if kind == "ipc" and path and path not in named:
                place = row.place_of("listen", index=index)
                name = f"services.{row.service.name}.listen[{index}]"
                expected = "a service that a transport or a daemon names"
                whole.problems.warn(place, name, expected, f"{address}, which nothing names")


def _warn_of_privilege(whole: Whole, row: Row) -> None:
    if row.service.privileged and row.service.user not in ("", "root"):
        expected = "privileged: true for a row that runs as root"
        path = f"services.{row.service.name}.privileged"
        whole.problems.warn(row.place_of("privileged"), path, expected, row.service.user)


_WARNINGS: Final = (
    (("relayhost", "default_transport"), _warn_of_relayhost),
    (("relayhost", "myhostname"), _warn_of_ourselves),
    (
        ("smtpd_tls_security_level", "smtpd_tls_cert_file", "smtpd_tls_key_file"),
        _warn_of_tls_files,
    ),
    (("smtp_address_preference", "inet_protocols"), _warn_of_preference),
    (("syslog_name", "log_format"), _warn_of_log_name),
    (
        ("maximal_queue_lifetime", "bounce_queue_lifetime", "minimal_backoff_time"),
        _warn_of_lifetime,
    ),
    (
        ("smtp_connection_reuse_time_limit", "smtp_connection_cache_time_limit"),
        _warn_of_reuse,
    ),
    (("delay_warning_time", "maximal_queue_lifetime"), _warn_of_delay),
    (("queue_minfree", "message_size_limit"), _warn_of_free_space),
    (("virtual_mailbox_limit", "message_size_limit"), _warn_of_mailbox_limit),
)

EFFECTS: Final[tuple[Callable[[Whole], None], ...]] = (
    *(ViewCheck(reads, run) for reads, run in _WARNINGS),
    _no_more_than("header_size_limit", "message_size_limit"),
    _no_more_than("smtpd_content_line_limit", "message_size_limit"),
    _no_more_than("bounce_size_limit", "message_size_limit"),
    _no_more_than("smtp_mx_session_limit", "smtp_mx_address_limit"),
    _no_more_than("initial_destination_concurrency", "default_destination_concurrency_limit"),
    WholeCheck((), ("daemon", "command", "settings"), _warn_of_unused),
    RowCheck(("daemon", "command", "settings"), _warn_of_unused_settings),
    WholeCheck(
        ("virtual_mailbox_domains", "virtual_mailbox_base", "virtual_transport"),
        ("daemon", "settings"),
        _warn_of_postmaster,
    ),
    WholeCheck(
        ("default_transport", "relay_transport", "virtual_transport", "local_transport"),
        ("listen", "settings"),
        _warn_of_unnamed,
    ),
    RowCheck(("user", "privileged"), _warn_of_privilege),
)
