"""The resolver against a real name server: who takes mail for a domain (RFC 5321, 5.1; 7505)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dns_server import HEAD, Nsd
from support.resolver_house import ResolverHouse, shown

from mta.ipc.messages import NONE_LEFT_OUT, HostAddresses, MailHosts

pytestmark = pytest.mark.requires("nsd")

LABEL = "x" * 63
ZONE = (
    HEAD
    + f"""
plain      IN MX 20 b
           IN MX 10 a
           IN MX 30 six
a          IN A 192.0.2.1
b          IN A 192.0.2.2
           IN AAAA 2001:db8::2
six        IN AAAA 2001:db8::6

implicit   IN A 192.0.2.3
bare       IN TXT "nothing for mail"
null       IN MX 0 .
mixed      IN MX 0 .
           IN MX 10 a
literal    IN MX 0 192.0.2.9.
           IN MX 10 a
odd        IN MX 0 not\\032a\\032host
           IN MX 10 a
twice      IN MX 10 a
           IN MX 20 a
lost       IN MX 10 nowhere
           IN MX 20 bare
           IN MX 30 a
allgone    IN MX 10 nowhere
           IN MX 20 bare

alias      IN CNAME plain
aliashost  IN MX 10 other
other      IN CNAME a
nonsense   IN CNAME nowhere
{LABEL}    IN A 192.0.2.4
_under     IN A 192.0.2.5
"""
    + "\n".join(f"crowd IN MX {n} h{n}\nh{n} IN A 198.51.100.{n}" for n in range(120, 0, -1))
    + "\n"
    + "\n".join(f"many IN A 198.51.100.{n}" for n in range(150))
    + "\n"
    + "\n".join(f"fat IN MX {n} f{n}" for n in range(8))
    + "\n"
    + "\n".join(f"f{n} IN A 203.0.{n}.{m}" for n in range(8) for m in range(90))
    + "\n"
)

A, B, SIX = (
    "10 a.example.test 192.0.2.1",
    "20 b.example.test 192.0.2.2 2001:db8::2",
    "30 six.example.test 2001:db8::6",
)
NOT_FOUND = "Host or domain name not found. Name service error for name={} type={}: Host not found"
NO_ADDRESS = "550 5.4.4 unable to look up host {}: Host not found"
MALFORMED = "550 5.1.2 Host or domain name not found: malformed name"

MAIL_HOSTS = [
    ("plain.example.test", [A, B, SIX]),
    ("PLAIN.Example.TEST.", [A, B, SIX]),
    ("mixed.example.test", [A]),
    ("literal.example.test", [A]),
    ("odd.example.test", [A]),
    ("twice.example.test", [A]),
    ("lost.example.test", ["30 a.example.test 192.0.2.1"]),
    ("alias.example.test", [A, B, SIX]),
    ("aliashost.example.test", ["10 other.example.test 192.0.2.1"]),
    ("localhost", ["0 localhost 127.0.0.1 ::1"]),
    ("null.example.test", ["556 5.1.10 Domain null.example.test does not accept mail (nullMX)"]),
    ("nowhere.example.test", ["550 5.1.2 " + NOT_FOUND.format("nowhere.example.test", "MX")]),
    ("nonsense.example.test", ["550 5.1.2 " + NOT_FOUND.format("nonsense.example.test", "MX")]),
    ("allgone.example.test", [NO_ADDRESS.format("nowhere.example.test")]),
    ("bare.example.test", [NO_ADDRESS.format("bare.example.test")]),
    ("refused.test", ["451 4.4.3 " + NOT_FOUND.format("refused.test", "MX") + ", try again"]),
    ("", [MALFORMED]),
    (".", [MALFORMED]),
    ("a..example.test", [MALFORMED]),
    ("-a.example.test", [MALFORMED]),
    ("a b.example.test".replace(" ", "\u00a0"), [MALFORMED]),
    ("b\u00fccher.example.test", [MALFORMED]),
    (f"{LABEL}x.example.test", [MALFORMED]),
    (".".join([LABEL] * 3 + ["x" * 62]), [MALFORMED]),
    ("[192.0.2.1]", [MALFORMED]),
    ("2001:db8::2", [MALFORMED]),
]

ADDRESSES = [
    ("b.example.test", ["192.0.2.2", "2001:db8::2"]),
    ("B.EXAMPLE.TEST.", ["192.0.2.2", "2001:db8::2"]),
    ("other.example.test", ["192.0.2.1"]),
    ("_under.example.test", ["192.0.2.5"]),
    (f"{LABEL}.example.test", ["192.0.2.4"]),
    ("plain.example.test", [NO_ADDRESS.format("plain.example.test")]),  # its MX is not looked at
    ("nowhere.example.test", ["550 5.1.2 " + NOT_FOUND.format("nowhere.example.test", "A")]),
    ("localhost", ["127.0.0.1", "::1"]),
    ("www.LocalHost.", ["127.0.0.1", "::1"]),
    ("192.0.2.77", ["192.0.2.77"]),
    ("2001:0DB8:0::7", ["2001:db8::7"]),
    ("fe80::1%eth0", [MALFORMED]),
]


@pytest.fixture(scope="module")
def nsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    with Nsd(Path(tmp_path_factory.mktemp("nsd")), ZONE) as server:
        yield server


@pytest.fixture(scope="module")
def house(nsd: Nsd) -> Iterator[ResolverHouse]:
    with ResolverHouse([nsd.address]) as house:
        yield house
        assert not house.daemon.events("internal_error")


@pytest.mark.parametrize(("domain", "expected"), MAIL_HOSTS, ids=[row[0] for row in MAIL_HOSTS])
def test_mail_hosts(house: ResolverHouse, domain: str, expected: list[str]) -> None:
    for _ in ("asked", "remembered"):
        assert shown(house.mail_hosts(domain)) == expected


@pytest.mark.parametrize(("name", "expected"), ADDRESSES, ids=[row[0] for row in ADDRESSES])
def test_addresses(house: ResolverHouse, name: str, expected: list[str]) -> None:
    for _ in ("asked", "remembered"):
        assert shown(house.addresses(name)) == expected


def test_domain_without_mx_is_its_own_host(house: ResolverHouse) -> None:
    reply = house.mail_hosts("implicit.example.test")
    assert shown(reply) == ["0 implicit.example.test 192.0.2.3"]
    assert isinstance(reply, MailHosts)
    assert reply.implicit
    plain = house.mail_hosts("plain.example.test")
    assert isinstance(plain, MailHosts)
    assert not plain.implicit


@pytest.mark.parametrize(
    ("domain", "left_out"),
    [("plain", NONE_LEFT_OUT), ("lost", 10), ("crowd", NONE_LEFT_OUT), ("literal", NONE_LEFT_OUT)],
)
def test_better_host_that_has_no_address_is_told_of(
    house: ResolverHouse, domain: str, left_out: int
) -> None:
    """Else a backup host that cannot find the better one would believe that mail loops."""
    reply = house.mail_hosts(f"{domain}.example.test")
    assert isinstance(reply, MailHosts)
    assert reply.left_out == left_out


def test_best_hundred_of_a_crowd(house: ResolverHouse) -> None:
    """The answer does not fit a datagram either: it comes over TCP, out of the sandbox."""
    expected = [f"{n} h{n}.example.test 198.51.100.{n}" for n in range(1, 101)]
    assert shown(house.mail_hosts("crowd.example.test")) == expected


def test_hundred_addresses_of_a_host(house: ResolverHouse) -> None:
    reply = house.addresses("many.example.test")
    assert isinstance(reply, HostAddresses)
    assert len(set(reply.addresses)) == 100


def test_hosts_share_the_room_of_a_frame_the_best_first(house: ResolverHouse) -> None:
    reply = house.mail_hosts("fat.example.test")
    assert isinstance(reply, MailHosts)
    assert [len(host.addresses) for host in reply.hosts] == [90, 90, 90, 90, 90, 50]
    assert [host.preference for host in reply.hosts] == list(range(6))


@pytest.mark.parametrize(
    ("protocols", "plain", "local"),
    [
        ("ipv4", [A, "20 b.example.test 192.0.2.2"], ["127.0.0.1"]),
        ("ipv6", ["20 b.example.test 2001:db8::2", SIX], ["::1"]),
    ],
)
def test_only_addresses_that_mail_is_sent_over(
    nsd: Nsd, protocols: str, plain: list[str], local: list[str]
) -> None:
    with ResolverHouse([nsd.address], {"inet_protocols": protocols}) as house:
        assert shown(house.mail_hosts("plain.example.test")) == plain
        assert shown(house.addresses("localhost")) == local
        assert shown(house.addresses("192.0.2.77")) == ["192.0.2.77"]
