"""Whether smtpd relays for strangers.

    mynetworks holds of the Internet      a row of smtpd that they reach, and mail has a transport
    more than a /8, or an IPv6 /20        is an open relay: an error, with a session as proof
    more than a /16, or an IPv6 /32       may be meant: a warning

A row sees strangers of the families that it listens to, for the master's IPv6 listeners are
IPV6_V6ONLY.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

from mta.config.networks import Share, shares
from mta.config.parameters import Parameters
from mta.config.problems import Severity
from mta.config.stranger import Session
from mta.config.table import Row
from mta.config.whole import View, Whole
from mta.proto.nexthop import split_transport
from mta.proto.relay import Client
from mta.proto.smtp.server import TlsLevel
from mta.util.listen import InetAddress, parse_listen

__all__ = ["RELAYING"]

# Lengths of prefixes, by IP version: the widest network that one may own, and that one may mean.
_OWNED: Final = {4: 8, 6: 20}
_MEANT: Final = {4: 16, 6: 32}
_DOMAINS: Final = (
    "mydestination",
    *(name for name in Parameters.__struct_fields__ if name.endswith("_domains")),
)
_ROUTE: Final = ("default_transport", *_DOMAINS)
_KEYS: Final = ("daemon", "listen", "command")
_TERMS: Final = (
    *("mynetworks", "myhostname", "smtpd_banner", "soft_bounce", "smtpd_tls_security_level"),
    *("message_size_limit", "line_length_limit", "smtpd_content_line_limit"),
    *("smtpd_recipient_limit", "smtpd_hard_error_limit"),
)


@dataclass(frozen=True)
class _Door:
    """A row of smtpd with one of its listeners that strangers reach."""

    row: Row
    listener: InetAddress
    seen: View  # the parameters that the row sees
    blamed: View  # who sets mynetworks


def _check_relaying(whole: Whole) -> None:
    route = _route(whole)
    if route is None:
        return
    held: dict[str, tuple[Share, ...]] = {}
    told: set[tuple[str, int]] = set()  # whose mynetworks, in which family
    for row in whole.table.rows.values():
        for door in _doors(whole, row):
            who = door.blamed.row.service.name if door.blamed.row is not None else ""
            version = _version(door.listener)
            if (who, version) in told:
                continue
            if who not in held:
                held[who] = _shares(door.blamed)
            told.add((who, version))
            for share in held[who]:
                if share.version == version:
                    _judge(door, share, route)


def _route(whole: Whole) -> Parameters | None:
    """What the rewrite service knows, if mail for other domains goes anywhere."""
    for row in whole.table.rows.values():
        if row.service.daemon == "rewrite" and "daemon" not in row.unsound:
            view = whole.view(row)
            if view.unsound.isdisjoint(_ROUTE) and view.parameters.default_transport:
                return view.parameters
    return None


def _doors(whole: Whole, row: Row) -> list[_Door]:
    """The row's listeners that strangers reach, if it is smtpd and all of it is known."""
    if row.service.daemon != "smtpd" or row.service.command or row.unsound & {*_KEYS}:
        return []
    seen = whole.view(row)
    if not seen.unsound.isdisjoint(_TERMS):
        return []
    main = View(whole, None, whole.parameters, whole.unsound)
    blamed = seen if seen.sets("mynetworks") else main
    listeners = map(parse_listen, row.service.listen)
    return [
        _Door(row, listener, seen, blamed)
        for listener in listeners
        if isinstance(listener, InetAddress) and not ipaddress.ip_address(listener.host).is_loopback
    ]


def _version(listener: InetAddress) -> int:
    return ipaddress.ip_address(listener.host).version


def _shares(view: View) -> tuple[Share, ...]:
    try:
        return shares(view.parameters.mynetworks)
    except ValueError:
        return ()  # one of them is none, and that is said


def _judge(door: _Door, share: Share, route: Parameters) -> None:
    who = f"{share.addresses:,} public IPv{share.version} addresses"
    found = f"{who}, and the row {door.row.service.name} listens to them"
    if share.prefix < _OWNED[share.version]:
        door.blamed.complain(
            ("mynetworks",),
            "networks of your own, for clients in them may send mail to anybody",
            f"{found}: an open relay",
            "name the networks of your own hosts alone",
            session=tuple(_proof(door, share.first, route)),
        )
    elif share.prefix < _MEANT[share.version]:
        door.blamed.complain(
            ("mynetworks",),
            "networks of your own, for clients in them may send mail to anybody",
            found,
            "name the networks of your own hosts alone",
            severity=Severity.WARNING,
        )


def _proof(door: _Door, address: str, route: Parameters) -> list[str]:
    """What a stranger and smtpd say: a title, then lines of the client (C) and the server (S)."""
    domain = _elsewhere(route)
    transport, _ = split_transport(route.default_transport)
    session = Session(door.seen.parameters, Client(address, 0), transport)
    session.say("EHLO stranger.example")
    if door.seen.parameters.smtpd_tls_security_level == TlsLevel.ENCRYPT.value:
        session.secure()
        session.say("EHLO stranger.example")
    session.say("MAIL FROM:<anybody@stranger.example>")
    session.say(f"RCPT TO:<victim@{domain}>")
    session.say("DATA")
    session.say("Subject: relayed", "", "Anybody may send this.", ".")
    session.say("QUIT")
    return [f"A stranger at [{address}] connects to {door.listener}:", *session.lines]


def _elsewhere(route: Parameters) -> str:
    """A domain that is not ours, of those that nobody can have (RFC 2606)."""
    ours = frozenset(domain for name in _DOMAINS for domain in getattr(route, name))
    names = (f"elsewhere{number or ''}.example" for number in count())
    return next(name for name in names if name not in ours)


RELAYING: Final[tuple[Callable[[Whole], None], ...]] = (_check_relaying,)
