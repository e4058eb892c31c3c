"""In which order hosts are tried, and which of them are this host (RFC 5321, 5.1)."""

import ipaddress
from random import Random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.parameters import Parameters
from mta.config.snapshot import Service, Snapshot
from mta.delivery.client.hosts import HostOrder, Itinerary, Ourselves
from mta.ipc.messages import NONE_LEFT_OUT, MailHost, MailHosts
from mta.proto.status import MailError
from mta.util.listen import InetAddress
from mta.util.routes import IpAddress

Family = Literal["any", "ipv4", "ipv6"]
Protocols = Literal["all", "ipv4", "ipv6"]

HOSTNAME = "mx.posthouse.test"
PROXY = "203.0.113.9"
# What the kernel would call its own.
LOCAL = ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("192.0.2.0/31")


def is_local(address: IpAddress) -> bool:
    return str(address) == "::1" or any(address in network for network in LOCAL)


def ourselves(*listeners: str) -> Ourselves:
    addresses = [each.rpartition(":") for each in listeners]
    return Ourselves(
        HOSTNAME,
        [InetAddress(host, int(port)) for host, _, port in addresses],
        [PROXY],
        25,
        is_local,
    )


def order(
    *listeners: str,
    protocols: Protocols = "all",
    preferred: Family = "any",
    limit: int = 100,
    seed: int = 1,
) -> HostOrder:
    return HostOrder(protocols, preferred, limit, ourselves(*listeners), Random(seed))


def hosts(*lines: str, left_out: int = NONE_LEFT_OUT) -> MailHosts:
    """Each line is a preference, a name, and addresses."""
    parts = [line.split() for line in lines]
    found = (MailHost(int(first), name, tuple(rest)) for first, name, *rest in parts)
    return MailHosts(tuple(found), implicit=False, left_out=left_out)


def arrange(
    order: HostOrder, found: MailHosts, port: int = 25, *, by_name: bool = True
) -> Itinerary:
    return order.arrange("example.org", found, port, by_name=by_name)


def addresses(itinerary: Itinerary) -> list[str]:
    return [endpoint.address for endpoint in itinerary.endpoints]


# The order


def test_preference_ascending_whatever_the_order_of_the_answer() -> None:
    found = hosts("20 b 198.51.100.2", "10 a 198.51.100.1", "30 c 198.51.100.3")
    itinerary = arrange(order(), found)
    assert [str(endpoint) for endpoint in itinerary.endpoints] == [
        "a[198.51.100.1]:25",
        "b[198.51.100.2]:25",
        "c[198.51.100.3]:25",
    ]
    assert (itinerary.best, itinerary.backup) == (1, False)


def test_hosts_of_equal_preference_share_the_load() -> None:
    found = hosts("10 a 198.51.100.1", "10 b 198.51.100.2", "20 c 198.51.100.3")
    firsts = set()
    for seed in range(20):
        itinerary = arrange(order(seed=seed), found)
        assert itinerary.best == 2
        assert addresses(itinerary)[2] == "198.51.100.3"
        firsts.add(addresses(itinerary)[0])
    assert firsts == {"198.51.100.1", "198.51.100.2"}


@pytest.mark.parametrize(
    ("protocols", "preferred", "expected"),
    [
        ("all", "ipv4", ["198.51.100.1", "2001:db8::1", "198.51.100.2", "2001:db8::2"]),
        ("all", "ipv6", ["2001:db8::1", "198.51.100.1", "2001:db8::2", "198.51.100.2"]),
        ("ipv4", "any", ["198.51.100.1", "198.51.100.2"]),
        ("ipv4", "ipv6", ["198.51.100.1", "198.51.100.2"]),
        ("ipv6", "any", ["2001:db8::1", "2001:db8::2"]),
    ],
)
def test_protocols(protocols: Protocols, preferred: Family, expected: list[str]) -> None:
    """Preference between hosts comes before preference between protocols."""
    found = hosts("1 a 2001:db8::1 198.51.100.1", "2 b 2001:db8::2 198.51.100.2")
    itinerary = arrange(order(protocols=protocols, preferred=preferred), found)
    assert addresses(itinerary) == expected


def test_without_a_preferred_protocol_they_are_mixed() -> None:
    found = hosts("1 a 2001:db8::1 198.51.100.1")
    firsts = {addresses(arrange(order(seed=seed), found))[0] for seed in range(20)}
    assert firsts == {"2001:db8::1", "198.51.100.1"}


SIX = " ".join(f"2001:db8::{number}" for number in range(1, 9))
FOUR = " ".join(f"198.51.100.{number}" for number in range(1, 9))


@pytest.mark.parametrize(
    ("lines", "limit", "six", "four"),
    [
        ((f"1 a {SIX} {FOUR}",), 5, 3, 2),
        ((f"1 a {SIX}", f"2 b {FOUR}"), 5, 3, 2),
        ((f"1 a {SIX}", "2 b 198.51.100.1"), 5, 4, 1),
        ((f"1 a {SIX}",), 5, 5, 0),
        ((f"1 a {FOUR}",), 5, 0, 5),
        ((f"1 a {SIX} {FOUR}",), 1, 1, 0),
        ((f"1 a {SIX} {FOUR}",), 2, 1, 1),
        ((f"1 a {SIX} {FOUR}",), 100, 8, 8),
    ],
)
def test_the_limit_leaves_room_for_both_protocols(
    lines: tuple[str, ...], limit: int, six: int, four: int
) -> None:
    """One of them may not work here, and must not use up all tries."""
    chosen = addresses(arrange(order(preferred="ipv6", limit=limit), hosts(*lines)))
    assert sum(":" in each for each in chosen) == six
    assert sum(":" not in each for each in chosen) == four


def test_the_best_are_counted_after_the_limit() -> None:
    itinerary = arrange(order(limit=5), hosts(f"1 a {SIX}", f"2 b {FOUR}"))
    assert itinerary.best == 3


def test_what_the_dns_says_is_checked_and_each_address_tried_once() -> None:
    found = hosts(
        "1 a 198.51.100.300 fffff:: 198.51.100.1 198.51.100.1",
        "2 b ::ffff:198.51.100.1 ::ffff:198.51.100.2",
    )
    assert addresses(arrange(order(), found)) == ["198.51.100.1", "198.51.100.2"]


def test_no_address_of_a_protocol_that_is_spoken_here() -> None:
    with pytest.raises(MailError) as caught:
        arrange(order(protocols="ipv6"), hosts("1 a 198.51.100.1"))
    assert str(caught.value.status) == "451 4.4.4 example.org has no ipv6 address"


# Ourselves

WILD = "0.0.0.0:25", ":::25"
LOOP = "554 5.4.6 mail for example.org loops back to myself"
NO_PRIMARY = "451 4.4.4 unable to find primary relay for example.org"
OTHER = "198.51.100.1"


@pytest.mark.parametrize(
    ("listeners", "address", "port", "own"),
    [
        # A listener at one address: that address, and that port.
        (["192.0.2.1:25"], "192.0.2.1", 25, True),
        (["192.0.2.1:25"], "::ffff:192.0.2.1", 25, True),
        (["192.0.2.1:25"], "192.0.2.1", 26, False),
        (["192.0.2.1:25"], "192.0.2.0", 25, False),
        (["2001:db8::25:25"], "2001:DB8:0::25", 25, True),
        # The embedded default, and test servers beside it.
        (["127.0.0.1:2525"], "127.0.0.2", 2525, False),
        (["127.0.0.1:2525"], "127.0.0.2", 2526, False),
        (["127.0.0.1:2525"], "127.0.0.1", 2526, False),
        (["127.0.0.1:2525"], "127.0.0.1", 25, False),
        (["127.0.0.1:2525"], "127.0.0.1", 2525, True),
        # A listener at all addresses: those that the kernel calls its own, of that protocol.
        (WILD, "192.0.2.1", 25, True),
        (WILD, "127.0.0.2", 25, True),
        (WILD, "::1", 25, True),
        (WILD, "192.0.2.2", 25, False),
        (WILD, "192.0.2.1", 2525, False),
        (WILD, "2001:db8::1", 25, False),
        (["0.0.0.0:25"], "::1", 25, False),
        ([":::25"], "127.0.0.1", 25, False),
        # To connect to the unspecified address is to connect to oneself.
        (["127.0.0.1:25"], "0.0.0.0", 25, True),
        (["::1:25"], "::", 25, True),
        (WILD, "0.0.0.0", 25, True),
        (["192.0.2.1:25"], "0.0.0.0", 25, False),
        # A proxy passes on what comes to the usual port, or to the one that we listen at.
        (["10.0.0.1:2525"], PROXY, 25, True),
        (["10.0.0.1:2525"], PROXY, 2525, True),
        (["10.0.0.1:2525"], PROXY, 587, False),
        ([], PROXY, 25, True),
        # Switched off.
        ([], "127.0.0.1", 25, False),
    ],
)
def test_an_address_at_which_we_listen(
    listeners: list[str], address: str, port: int, own: bool
) -> None:
    found = hosts(f"10 other.test {address}")
    if not own:
        assert len(arrange(order(*listeners), found, port).endpoints) == 1
        return
    with pytest.raises(MailError) as caught:
        arrange(order(*listeners), found, port)
    assert str(caught.value.status) == LOOP


@pytest.mark.parametrize(
    ("name", "by_name", "own"),
    [
        (HOSTNAME, True, True),
        (HOSTNAME.upper(), True, True),
        (HOSTNAME, False, False),
        (f"x.{HOSTNAME}", True, False),
    ],
)
def test_a_mail_host_of_our_name(name: str, by_name: bool, own: bool) -> None:
    """Behind a translation of addresses the name may be all that shows it."""
    found = hosts(f"10 {name} {OTHER}")
    if not own:
        assert addresses(arrange(order(), found, by_name=by_name)) == [OTHER]
        return
    with pytest.raises(MailError) as caught:
        arrange(order(), found, by_name=by_name)
    assert str(caught.value.status) == LOOP


US = f"{HOSTNAME} 192.0.2.1"


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (hosts(f"10 {US}"), LOOP),
        (hosts(f"10 {US}", "20 b 198.51.100.2"), LOOP),
        (hosts("10 a 198.51.100.1", f"10 {US}"), LOOP),  # among the best is as good as the best
        (hosts("10 a 192.0.2.1"), LOOP),  # another name, our address
        (hosts("10 a 198.51.100.1", f"20 {US}"), ["198.51.100.1"]),
        (hosts("10 a 198.51.100.1", f"20 {US}", "20 b 198.51.100.2"), ["198.51.100.1"]),
        (hosts("10 a 198.51.100.1", f"20 {US}", "30 c 198.51.100.3"), ["198.51.100.1"]),
        (hosts("10 a 198.51.100.1", "20 b 198.51.100.2 192.0.2.1"), ["198.51.100.1"]),
        # A better one exists, but its addresses are not known now: no reason to bounce.
        (hosts(f"20 {US}", left_out=10), NO_PRIMARY),
        (hosts(f"20 {US}", "30 c 198.51.100.3", left_out=10), NO_PRIMARY),
        (hosts(f"20 {US}", left_out=20), LOOP),
        (hosts(f"20 {US}", left_out=30), LOOP),
        (hosts("10 a 198.51.100.1", f"20 {US}", left_out=5), ["198.51.100.1"]),
        (hosts("10 a 2001:db8::1", f"20 {US}"), NO_PRIMARY),  # inet_protocols is ipv4
    ],
)
def test_mail_goes_nearer_to_its_destination_or_nowhere(
    found: MailHosts, outcome: str | list[str]
) -> None:
    there = order("192.0.2.1:25", protocols="ipv4")
    if isinstance(outcome, list):
        itinerary = arrange(there, found)
        assert addresses(itinerary) == outcome
        assert itinerary.backup
        return
    with pytest.raises(MailError) as caught:
        arrange(there, found)
    assert str(caught.value.status) == outcome


def test_we_may_listen_over_a_protocol_that_we_do_not_send_over() -> None:
    with pytest.raises(MailError) as caught:
        arrange(order("::1:25", protocols="ipv4"), hosts("1 a ::1 198.51.100.1"))
    assert str(caught.value.status) == LOOP


def test_the_kernel_is_asked_only_about_a_listener_at_all_addresses() -> None:
    def never(_: IpAddress) -> bool:
        raise AssertionError

    us = Ourselves(HOSTNAME, [InetAddress("127.0.0.1", 25)], [], 25, never)
    assert not us.receive_at(ipaddress.IPv4Address(OTHER), 25)


def test_this_host_as_the_service_table_tells() -> None:
    rows = (
        Service(name="smtp", daemon="smtpd", listen=("inet:192.0.2.1:25", "unix:public/smtp")),
        Service(name="submission", daemon="smtpd", listen=("inet:[2001:db8::1]:587",)),
        Service(name="other", daemon="tiny", listen=("inet:192.0.2.1:80",)),
    )
    parameters = Parameters(
        queue_directory="/q", log_file="/l", myhostname=HOSTNAME, proxy_interfaces=(PROXY,)
    )
    snapshot = Snapshot(
        version=1,
        generation=1,
        created=0.0,
        profile="hub",
        python="python",
        parameters=parameters,
        services=rows,
    )
    us = Ourselves.of(snapshot, parameters, is_local)
    assert us.receive_at(ipaddress.ip_address("192.0.2.1"), 25)
    assert us.receive_at(ipaddress.ip_address("2001:db8::1"), 587)
    assert us.receive_at(ipaddress.ip_address(PROXY), 25)
    assert not us.receive_at(ipaddress.ip_address("192.0.2.1"), 80)
    assert us.hostname == HOSTNAME


# Any answer

TEXTS = st.one_of(
    st.ip_addresses().map(str),
    st.text("0123456789abcdefABCDEF:.", max_size=45),
    st.sampled_from(["192.0.2.1", "198.51.100.1", "::ffff:192.0.2.1", "0.0.0.0", "::"]),
)
HOSTS = st.builds(
    MailHost,
    st.integers(0, 5),
    st.sampled_from([HOSTNAME, "a", "b", ""]),
    st.lists(TEXTS, max_size=6).map(tuple),
)
ANSWERS = st.builds(
    MailHosts, st.lists(HOSTS, min_size=1, max_size=6).map(tuple), st.booleans(), st.booleans()
)


@given(ANSWERS, st.integers(1, 6), st.sampled_from(["any", "ipv4", "ipv6"]), st.randoms())
def test_whatever_the_answer_the_law_holds(
    found: MailHosts, limit: int, preferred: Family, random: Random
) -> None:
    us = ourselves(*WILD)
    there = HostOrder("all", preferred, limit, us, random)
    refusal, itinerary = "", None
    try:
        itinerary = there.arrange("x.test", found, 25, by_name=True)
    except MailError as error:
        refusal = error.status.enhanced
    if itinerary is None:
        assert refusal in {"5.4.6", "4.4.4"}
        return
    chosen = addresses(itinerary)
    assert 1 <= len(chosen) <= limit
    assert len(set(chosen)) == len(chosen)
    assert 1 <= itinerary.best <= len(chosen)
    assert not any(us.receive_at(ipaddress.ip_address(each), 25) for each in chosen)
    own = [host.preference for host in found.hosts if host.name == HOSTNAME]
    by_name = {host.name: host.preference for host in found.hosts}
    if len(by_name) == len(found.hosts):
        preferences = [by_name[endpoint.name] for endpoint in itinerary.endpoints]
        assert preferences == sorted(preferences)
        assert all(preference < min(own, default=6) for preference in preferences)
