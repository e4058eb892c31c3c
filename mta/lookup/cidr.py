"""cidr: rules on IP addresses, in the form of cidr_table(5).

    NETWORK/LENGTH RESULT       the addresses of a network, IPv4 or IPv6; or ADDRESS RESULT
    !NETWORK/LENGTH RESULT      all others of the same family
    if NETWORK/LENGTH, if !NETWORK/LENGTH, endif

The bits behind the length must be zero. Brackets may stand around the address, or around all of
the pattern. A key that is no address has no match.
"""

import ipaddress
import re
from typing import BinaryIO, Final

from msgspec import Struct

from mta.lookup.files import Source
from mta.lookup.lines import SourceError, Wrong
from mta.lookup.rules import Answer, Rule, Statement, first_result, read_rules
from mta.lookup.table import VALUE_LIMIT

__all__ = ["SIZE_LIMIT", "CidrTable", "NetworkRules", "read_networks"]

SIZE_LIMIT: Final = 4 << 20  # octets of the source

_STATEMENT: Final = re.compile(
    r"""
    (?P<negations> (?: ! \s* )* )
    (?P<pattern>
        (?P<open> \[ )? (?P<address> [0-9A-Fa-f:.]+ ) (?(open) (?P<early> \] )? )
        (?: / (?P<length> [0-9]{1,3} ) )? (?(open) (?(early) | \] ) )
    )
    (?: \s+ (?P<result> .*? ) )? \s* \Z
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class Address(Struct, frozen=True):
    """An IP address, as it is compared with the ends of networks."""

    version: int
    number: int


NetworkRules = tuple[Rule[Address], ...]


class CidrTable:
    """The rules of `cidr`; not for several threads at once."""

    def __init__(self, source: Source[NetworkRules]) -> None:
        self._source = source

    @property
    def takes_parts(self) -> bool:
        """Only whole addresses are keys."""
        return False

    def find(self, key: str) -> str | None:
        """The result of the first rule for the IP address; TableError if it cannot be known."""
        rules = self._source.content()
        address = _parse_address(key)
        return None if address is None else first_result(rules, address)

    def identity(self) -> int:
        """A number that is another one once the rules may have changed."""
        return self._source.identity()


def read_networks(stream: BinaryIO, name: str, wrong: Wrong | None = None) -> NetworkRules:
    """The rules of a source; SourceError has the place, or all of them are told to `wrong`."""
    return read_rules(stream, name, _read_statement, wrong)


def _parse_address(key: str) -> Address | None:
    if "%" in key:
        return None  # a zone makes sense on its own host only
    try:
        address = ipaddress.ip_address(key)
    except ValueError:
        return None
    return Address(address.version, int(address))


def _read_statement(statement: Statement) -> Answer[Address]:
    match = _STATEMENT.match(statement.text, statement.start)
    if match is None:
        raise statement.error(statement.start, "expected ADDRESS or NETWORK/LENGTH, and a result")
    result = match["result"] or ""
    if statement.conditional:
        if result:
            raise statement.error(match.start("result"), "expected nothing after the pattern")
        result = "holds"
    elif not result:
        raise statement.error(len(statement.text), "expected a result after the pattern")
    elif len(result.encode()) > VALUE_LIMIT:
        what = f"expected a result of at most {VALUE_LIMIT} octets"
        raise statement.error(match.start("result"), what)
    network = _parse_network(statement, match)
    return _answer(network, result, negated=match["negations"].count("!") % 2 == 1)


def _parse_network(
    statement: Statement, match: re.Match[str]
) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        address = ipaddress.ip_address(match["address"])
        length = match["length"] or str(address.max_prefixlen)
        network = ipaddress.ip_network((address, int(length)), strict=False)
    except ValueError as error:
        raise _wrong(statement, match, str(error)) from error
    if network.network_address != address:
        raise _wrong(statement, match, f"perhaps {network} is meant")
    return network


def _wrong(statement: Statement, match: re.Match[str], why: str) -> SourceError:
    what = f'expected an address or a network, got "{match["pattern"]}": {why}'
    return statement.error(match.start("pattern"), what)


def _answer(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network, result: str, *, negated: bool
) -> Answer[Address]:
    version = network.version
    first = int(network.network_address)
    last = int(network.broadcast_address)

    def answer(address: Address) -> str | None:
        # An address of the other family matches neither the network nor all but the network.
        if address.version != version:
            return None
        return result if (first <= address.number <= last) != negated else None

    return answer
