"""The resolver against name servers that fail, lie and dawdle; and what it remembers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dns_server import (
    HEAD,
    Reaction,
    ScriptedDns,
    answering,
    forged_first,
    garbage,
    refused,
    servfail,
    silent,
    truncated,
    wrong_id,
)
from support.messages import messages
from support.ports import free_port
from support.resolver_house import ResolverHouse, shown
from support.waiting import wait_until

from mta.ipc.messages import (
    FindAddresses,
    FindMailHosts,
    Goodbye,
    HostAddresses,
    MailHosts,
    Refused,
    ResolverRequest,
)
from mta.master.channel import Bye

ZONE = (
    HEAD
    + """
domain     IN MX 10 a
           IN MX 20 b
neighbour  IN MX 10 b
lonely     IN A 192.0.2.3
a          IN A 192.0.2.1
b          IN A 192.0.2.2
           IN AAAA 2001:db8::2
brief      1 IN A 192.0.2.4
null       IN MX 0 .
loop       IN CNAME pool
pool       IN CNAME loop
"""
)
FOUND = ["10 a.example.test 192.0.2.1", "20 b.example.test 192.0.2.2 2001:db8::2"]
TRY_AGAIN = (
    "451 4.4.3 Host or domain name not found. Name service error for name={} type={}: "
    "Host not found, try again"
)


@pytest.fixture
def server() -> Iterator[ScriptedDns]:
    with ScriptedDns(ZONE) as server:
        yield server


# Tests count questions; on a busy machine none may be asked twice because the answer is late.
PATIENT = [
    "-c",
    """
from mta.daemons.resolver import servers
from mta.daemons.resolver.__main__ import NEEDS
from mta.daemons.resolver.handler import ResolverHandler
from mta.master.daemon import run

servers.TRY_TIME = 60.0
run(needs=NEEDS, handler=ResolverHandler)
""",
]


@pytest.fixture
def house(server: ScriptedDns) -> Iterator[ResolverHouse]:
    with ResolverHouse([server.address], program=PATIENT) as house:
        yield house
        assert not house.daemon.events("internal_error")


# Failures


@pytest.mark.parametrize("reaction", [servfail, refused, silent, garbage, wrong_id])
def test_server_that_does_not_answer_is_no_verdict(server: ScriptedDns, reaction: Reaction) -> None:
    server.udp = reaction
    with ResolverHouse([server.address], {"dns_timeout": 0.5}) as house:
        reply = house.mail_hosts("domain.example.test")
        assert shown(reply) == [TRY_AGAIN.format("domain.example.test", "MX")]
        assert isinstance(reply, Refused)
        assert reply.reason
        reply = house.addresses("a.example.test")
        assert shown(reply) == [TRY_AGAIN.format("a.example.test", "A")]
    assert server.count("domain.example.test MX") == 1


@pytest.mark.parametrize("reaction", [servfail, garbage, silent])
def test_truncated_and_then_nothing(server: ScriptedDns, reaction: Reaction) -> None:
    server.udp, server.tcp = truncated, reaction
    with ResolverHouse([server.address], {"dns_timeout": 2.0}) as house:
        reply = house.mail_hosts("domain.example.test")
        assert shown(reply) == [TRY_AGAIN.format("domain.example.test", "MX")]
    assert "domain.example.test MX tcp" in server.asked


def test_truncated_answer_is_asked_for_again_over_tcp(
    server: ScriptedDns, house: ResolverHouse
) -> None:
    server.udp = truncated
    assert shown(house.mail_hosts("domain.example.test")) == FOUND
    assert server.asked[:2] == ["domain.example.test MX udp", "domain.example.test MX tcp"]


def test_blind_forgery_is_passed_over(server: ScriptedDns, house: ResolverHouse) -> None:
    server.udp = forged_first
    assert shown(house.mail_hosts("domain.example.test")) == FOUND


def test_aliases_in_a_circle(house: ResolverHouse) -> None:
    reply = house.mail_hosts("loop.example.test")
    assert shown(reply) == [TRY_AGAIN.format("loop.example.test", "MX")]


def test_next_server_is_asked(server: ScriptedDns) -> None:
    """Whether the first one fails or is not there at all."""
    with ScriptedDns(ZONE, udp=servfail) as broken:
        servers = [broken.address, f"[127.0.0.1]:{free_port()}", server.address]
        with ResolverHouse(servers) as house:
            assert shown(house.mail_hosts("null.example.test"))[0].startswith("556 5.1.10")
        assert broken.count("null.example.test MX") == 1


def test_hosts_that_were_found_do_not_wait_for_the_others(
    server: ScriptedDns, house: ResolverHouse
) -> None:
    """And the others are asked for again soon."""
    for kind in ("A", "AAAA"):
        server.by_question[f"b.example.test {kind}"] = servfail
    reply = house.mail_hosts("domain.example.test")
    assert shown(reply) == FOUND[:1]
    assert isinstance(reply, MailHosts)
    assert reply.left_out == 20
    server.by_question.clear()
    wait_until(lambda: shown(house.mail_hosts("domain.example.test")) == FOUND, "the other host")


def test_no_host_was_found_and_one_failed(server: ScriptedDns, house: ResolverHouse) -> None:
    server.load(ZONE.replace("a          IN A 192.0.2.1", ""))
    for kind in ("A", "AAAA"):
        server.by_question[f"b.example.test {kind}"] = servfail
    reply = house.mail_hosts("domain.example.test")
    assert shown(reply) == [TRY_AGAIN.format("b.example.test", "A")]


def test_one_family_is_enough(server: ScriptedDns, house: ResolverHouse) -> None:
    server.by_question["b.example.test AAAA"] = servfail
    assert shown(house.addresses("b.example.test")) == ["192.0.2.2"]
    server.by_question.clear()
    both = ["192.0.2.2", "2001:db8::2"]
    wait_until(lambda: shown(house.addresses("b.example.test")) == both, "the other family")


# Memory


def test_what_is_known_is_not_asked_again(server: ScriptedDns, house: ResolverHouse) -> None:
    for domain in ("domain.example.test", "DOMAIN.example.test."):
        assert shown(house.mail_hosts(domain)) == FOUND
    assert shown(house.mail_hosts("neighbour.example.test"))  # with a host that is known
    assert shown(house.addresses("a.example.test")) == ["192.0.2.1"]
    assert len(server.asked) == len(set(server.asked)) == 6


@pytest.mark.parametrize(
    "name", ["nowhere.example.test", "null.example.test", "example.test", "elsewhere.test"]
)
def test_refusals_are_known_too(server: ScriptedDns, house: ResolverHouse, name: str) -> None:
    first = house.mail_hosts(name)
    assert isinstance(first, Refused)
    assert all(house.mail_hosts(name) == first for _ in range(20))
    assert server.count(f"{name} MX") == 1


def test_answer_expires(server: ScriptedDns, house: ResolverHouse) -> None:
    assert shown(house.addresses("brief.example.test")) == ["192.0.2.4"]
    server.load(ZONE.replace("192.0.2.4", "192.0.2.5"))
    moved = ["192.0.2.5"]
    wait_until(lambda: shown(house.addresses("brief.example.test")) == moved, "the new address")
    assert server.count("brief.example.test A") == 2


def test_failure_is_forgotten_soon(server: ScriptedDns, house: ResolverHouse) -> None:
    server.udp = servfail
    assert isinstance(house.mail_hosts("domain.example.test"), Refused)
    server.udp = answering
    wait_until(lambda: shown(house.mail_hosts("domain.example.test")) == FOUND, "the answer")
    assert server.count("domain.example.test MX") == 2


def test_same_question_is_outstanding_once(server: ScriptedDns, house: ResolverHouse) -> None:
    server.holding = True
    house.send(*[FindMailHosts("domain.example.test")] * 50)
    wait_until(lambda: server.asked, "the question")
    server.release()
    assert all(shown(house.hear()) == FOUND for _ in range(50))
    assert server.count("domain.example.test MX") == 1


def test_client_that_goes_away_stops_nobody_else(server: ScriptedDns, house: ResolverHouse) -> None:
    server.holding = True
    with house.new_client() as hasty:
        house.send_over(hasty, FindMailHosts("domain.example.test"))
        wait_until(lambda: server.asked, "the question")
        house.send(FindMailHosts("domain.example.test"), FindAddresses("localhost"))
        assert shown(house.hear()) == ["127.0.0.1", "::1"]  # both are in hand
    server.release()
    assert shown(house.hear()) == FOUND
    assert server.count("domain.example.test MX") == 1


def test_questions_beyond_the_limit_wait(server: ScriptedDns) -> None:
    """However many are wanted, 500 are outstanding; all are answered in the end."""
    server.holding = True
    with (
        ResolverHouse([server.address], {"inet_protocols": "ipv4"}) as house,
        house.new_client() as other,
    ):
        for number in range(300):
            house.send(FindAddresses(f"n{number}.example.test"))
            house.send_over(other, FindAddresses(f"m{number}.example.test"))
        house.send_over(other, FindAddresses("localhost"))
        assert shown(house.hear_over(other)) == ["127.0.0.1"]
        # Datagrams of such a burst may be lost, and come again after a while.
        wait_until(lambda: len(set(server.asked)) >= 500, "500 questions")
        assert len(set(server.asked)) == 500
        server.release()
        replies = [house.hear() for _ in range(300)] + [house.hear_over(other) for _ in range(300)]
        assert {str(reply.status)[:9] for reply in replies if isinstance(reply, Refused)} == {
            "550 5.1.2"
        }
        assert len(set(server.asked)) == 600


# Trust


@pytest.mark.parametrize("authentic", [True, False])
def test_dnssec_is_what_a_server_on_this_host_says(
    server: ScriptedDns, house: ResolverHouse, authentic: bool
) -> None:
    server.authentic = authentic
    for domain in ("domain.example.test", "lonely.example.test"):
        reply = house.mail_hosts(domain)
        assert isinstance(reply, MailHosts)
        assert reply.secure == authentic
    reply = house.addresses("a.example.test")
    assert isinstance(reply, HostAddresses)
    assert reply.secure == authentic


def test_one_insecure_host_makes_the_domain_insecure(
    server: ScriptedDns, house: ResolverHouse
) -> None:
    reply = house.addresses("b.example.test")
    server.authentic = True
    reply = house.mail_hosts("domain.example.test")
    assert isinstance(reply, MailHosts)
    assert not reply.secure


@pytest.fixture(scope="module")
def any_house() -> Iterator[ResolverHouse]:
    with ScriptedDns(ZONE) as server, ResolverHouse([server.address]) as house:
        yield house
        assert not house.daemon.events("internal_error")
        assert not house.daemon.events("ipc_malformed")


@given(request=messages(ResolverRequest))
def test_any_name_has_an_answer(
    any_house: ResolverHouse, request: FindMailHosts | FindAddresses
) -> None:
    assert isinstance(any_house.ask(request), MailHosts | HostAddresses | Refused)


@given(name=st.from_regex(r"[a-z0-9._-]{1,70}(\.example\.test)?\.?", fullmatch=True))
def test_any_likely_name_has_an_answer(any_house: ResolverHouse, name: str) -> None:
    for request in (FindMailHosts(name), FindAddresses(name)):
        assert isinstance(any_house.ask(request), MailHosts | HostAddresses | Refused)


# resolv.conf

WITH_RESOLV_CONF = """
from functools import partial
from mta.daemons.resolver import servers
from mta.daemons.resolver.handler import ResolverHandler
from mta.master.daemon import Needs, run

servers.LOOK_TIME = 0.0
needs = Needs(name_servers=True, read=({path!r},))
run(needs=needs, handler=partial(ResolverHandler, resolv_conf={path!r}))
"""


def test_new_resolv_conf_is_for_a_new_process(tmp_path: Path) -> None:
    """The sandbox knows the old file only: who comes next reads the new one."""
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\n")
    program = ["-c", WITH_RESOLV_CONF.format(path=str(path))]
    with ResolverHouse([], program=program) as house:
        for _ in range(3):
            assert shown(house.addresses("localhost")) == ["127.0.0.1", "::1"]
        (tmp_path / "new").write_text("nameserver 127.0.0.2\n")
        (tmp_path / "new").rename(path)
        assert shown(house.addresses("localhost")) == ["127.0.0.1", "::1"]
        assert house.hear() == Goodbye(4)
        house.daemon.hear_until(Bye("retired"))
        assert house.daemon.ended() == 0
        assert len(house.daemon.events("resolv_conf_changed")) == 1
        assert not house.daemon.events("resolv_conf")


def test_without_resolv_conf_this_host_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# nobody\n")
    program = ["-c", WITH_RESOLV_CONF.format(path=str(path))]
    with ResolverHouse([], program=program) as house:
        assert shown(house.addresses("localhost")) == ["127.0.0.1", "::1"]
        (line,) = house.daemon.events("resolv_conf")
        assert line["path"] == str(path)
