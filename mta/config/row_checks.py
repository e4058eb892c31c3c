"""How the keys of a row, and the addresses of all rows, must fit together."""

import ipaddress
from collections.abc import Callable
from typing import Final

from mta.config.conf import UNWRITABLE, is_writable
from mta.config.problems import quoted
from mta.config.table import Row
from mta.config.whole import RowCheck, Whole
from mta.util.listen import InetAddress, PipeAddress, SocketPath, parse_listen

__all__ = ["ROW_CHECKS"]

# Two processes would read each other's half lines, or deliver each other's mail.
_SINGLE: Final = ("log", "qmgr")


def _check_addresses(whole: Whole) -> None:
    """One listener a place: a path is taken whatever its kind, and a pipe has one reader."""
    taken = _Taken()
    rows = [row for row in whole.table.rows.values() if "listen" not in row.unsound]
    # The operator's rows come last: what is wrong is said of them, not of the profile.
    for row in sorted(rows, key=lambda row: row.says("listen")):
        name = row.service.name
        for index, text in enumerate(row.service.listen):
            expected = taken.take(text, name)
            if expected:
                place, path = (
                    row.place_of("listen", index=index),
                    f"services.{name}.listen[{index}]",
                )
                whole.problems.add(place, path, expected, text)


class _Taken:
    """The places that are taken, and by which row."""

    def __init__(self) -> None:
        self._owners: dict[object, str] = {}
        self._hosts: dict[tuple[bool, int], dict[str, str]] = {}  # by family and port

    def take(self, text: str, row: str) -> str:
        """Take the place for the row; what was expected if that cannot be, or nothing."""
        address = parse_listen(text)
        place = address.path if isinstance(address, SocketPath) else address
        if place in self._owners:
            return f"a place that no row has yet (services.{self._owners[place]} has this one)"
        self._owners[place] = row
        return self._take_port(address, row) if isinstance(address, InetAddress) else ""

    def _take_port(self, address: InetAddress, row: str) -> str:
        """Every address of a family bars, and is barred by, the one that stands for all of them.

        The families do not meet, for the master's IPv6 listeners are IPV6_V6ONLY.
        """
        host = ipaddress.ip_address(address.host)
        if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
            return f"the IPv4 address itself, inet:{host.ipv4_mapped}:{address.port}"
        hosts = self._hosts.setdefault((host.version == 6, address.port), {})
        anywhere = "::" if host.version == 6 else "0.0.0.0"  # noqa: S104 - not bound here
        barred = next(iter(hosts), "") if host.is_unspecified else anywhere
        if barred in hosts:
            other = f"{InetAddress(barred, address.port)} of services.{hosts[barred]}"
            return f"an address that can be bound beside {other}"
        hosts[address.host] = row
        return ""


def _check_command(whole: Whole, row: Row) -> None:
    path, problems = f"services.{row.service.name}", whole.problems
    for index, argument in enumerate(row.service.command):
        if not is_writable(argument):
            place = row.place_of("command", index=index)
            problems.add(place, f"{path}.command[{index}]", UNWRITABLE, quoted(argument))
    if row.service.command and not row.service.command[0].startswith("/"):
        expected, found = "an absolute path of a program", quoted(row.service.command[0])
        problems.add(row.place_of("command", index=0), f"{path}.command[0]", expected, found)


def _check_single(whole: Whole, row: Row) -> None:
    service = row.service
    pipes = any(isinstance(parse_listen(text), PipeAddress) for text in service.listen)
    if service.numprocs > 1 and (pipes or service.daemon in _SINGLE):
        expected = f"1, for {service.daemon} can only run as one process"
        place, path = row.place_of("numprocs", "daemon"), f"services.{service.name}.numprocs"
        whole.problems.add(place, path, expected, str(service.numprocs))


def _check_spare(whole: Whole, row: Row) -> None:
    service = row.service
    if service.min_free > service.numprocs:
        expected = f"at most numprocs, {service.numprocs}"
        place, path = row.place_of("min_free", "numprocs"), f"services.{service.name}.min_free"
        whole.problems.add(place, path, expected, str(service.min_free))


def _check_reachable(whole: Whole, row: Row) -> None:
    service = row.service
    wanted = service.listen or service.wakeup or service.min_free
    if service.restart == "on_demand" and not wanted:
        expected = "a row that something starts"
        way_out = "give it listen, wakeup, min_free or restart: always"
        found = "one that nothing would ever start"
        whole.problems.add(row.place, f"services.{service.name}", expected, found, way_out)


ROW_CHECKS: Final[tuple[Callable[[Whole], None], ...]] = (
    _check_addresses,
    RowCheck(("command",), _check_command),
    RowCheck(("numprocs", "listen", "daemon"), _check_single),
    RowCheck(("min_free", "numprocs"), _check_spare),
    RowCheck(("listen", "wakeup", "min_free", "restart"), _check_reachable),
)
