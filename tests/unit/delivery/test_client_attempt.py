"""One delivery request to other hosts: who is tried, and what stands in the end.

A row of a table is a network, where each address does what it says, and the outcome as qmgr hears
it: for each recipient the relay's address and the status.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.sessions import Network, ScriptedSession, status

from mta.delivery.agent import DeliveryAgent
from mta.delivery.client.agent import RemoteDelivery
from mta.delivery.client.attempt import Means
from mta.delivery.client.cache import SessionCache
from mta.delivery.client.hosts import Itinerary
from mta.delivery.client.session import Endpoint
from mta.ipc.client import Unavailable
from mta.ipc.messages import Deliver, DeliverRecipient, Outcomes
from mta.proto.status import MailError
from mta.util.log import Log

A, B, C, F, G = (f"192.0.2.{number}" for number in range(1, 6))
OK = "250 2.0.0 ok"
LATER = "450 4.2.0 greylisted"
FULL = "452 4.5.3 too many recipients"
NEVER = "550 5.1.1 unknown"
UNKNOWN = "451 4.4.2 lost (unknown)"
REFUSED = "451 4.4.1 Connection refused"
NOT_FOUND = "550 5.1.2 not found"
NO_ADDRESS = "550 5.4.4 no address"
NULL_MX = "556 5.1.10 takes no mail"
LOOPS = "554 5.4.6 loops back to myself"
NO_DNS = "451 4.4.3 try again"
GREETING = "554 5.3.2 no service here"

Route = Itinerary | str


def hosts(*addresses: str, best: int = 1, backup: bool = False) -> Itinerary:
    return Itinerary(tuple(endpoint(each) for each in addresses), best, backup)


def endpoint(address: str) -> Endpoint:
    return Endpoint(f"mx{address[-1]}.test", address, 25)


class Bench:
    """A queue file, a log, a cache, and requests to one deliverer after the other."""

    def __init__(self, folder: Path) -> None:
        (folder / "file").write_bytes(b"content")
        self.descriptor = os.open(folder / "file", os.O_RDONLY)
        self.loop = asyncio.new_event_loop()
        self.cache = SessionCache(
            self.loop, time_limit=60.0, reuse_limit=60.0, endpoint_limit=5, limit=10
        )
        self.asked: list[str] = []  # destinations that were looked up
        self.log_path = folder / "log"
        self._log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT)

    def close(self) -> None:
        self.cache.close()
        self.loop.close()
        os.close(self.descriptor)
        os.close(self._log)

    def deliver(
        self,
        network: Network,
        routes: Mapping[str, Route],
        *,
        recipients: Sequence[str] = ("r@x.test",),
        nexthop: str = "x.test",
        fallbacks: Sequence[str] = (),
        session_limit: int = 2,
    ) -> Outcomes:
        log = Log(self._log, "test", "test_000", 1)

        async def find_hosts(name: str) -> Itinerary:
            self.asked.append(name)
            route = routes[name]
            if isinstance(route, str):
                raise MailError(status(route), "the reason")
            return route

        means = Means(
            find_hosts=find_hosts,
            open_session=network.open,
            cache=self.cache,
            fallbacks=fallbacks,
            session_limit=session_limit,
            log=log,
        )
        request = Deliver(
            "0" * 22,
            "s@posthouse.test",
            tuple(DeliverRecipient(n, to, to) for n, to in enumerate(recipients)),
            nexthop,
            time.time(),
            0,
            7,
            body_8bit=True,
        )
        agent = DeliveryAgent("outbound", log, lambda: None, RemoteDelivery(means))
        return self.loop.run_until_complete(agent._answer(request, (self.descriptor,)))

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.log_path.read_text().splitlines())
        return [line for line in lines if line["event"] == event]

    def keep(self, address: str, nexthop: str = "", **state: bool) -> ScriptedSession:
        """A session with that host, kept from an earlier message."""
        session = ScriptedSession(endpoint(address), opened=self.loop.time())
        for name, value in state.items():
            setattr(session, name, value)
        self.cache.put(session, nexthop)
        return session


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def told(outcomes: Outcomes) -> list[tuple[str, str]]:
    """For each recipient, in order: the relay's address, and the status."""
    ordered = sorted(outcomes.outcomes, key=lambda each: each.index)
    return [
        (each.relay.partition("[")[2].partition("]")[0] or each.relay, str(each.status))
        for each in ordered
    ]


ONE = {"x.test": hosts(A)}
TWO = {"x.test": hosts(A, B)}
THREE = {"x.test": hosts(A, B, C)}


@pytest.mark.parametrize(
    ("network", "routes", "tried", "outcome"),
    [
        # One host, and what it says.
        ({A: [OK]}, ONE, [A], (A, OK)),
        ({A: [NEVER]}, ONE, [A], (A, NEVER)),
        ({A: [LATER]}, ONE, [A], (A, LATER)),
        ({A: [UNKNOWN]}, ONE, [A], (A, UNKNOWN)),
        ({}, ONE, [A], (A, REFUSED)),
        ({A: GREETING}, ONE, [A], (A, GREETING)),
        # Who comes next, and who does not.
        ({A: [OK], B: [OK]}, TWO, [A], (A, OK)),
        ({B: [OK]}, TWO, [A, B], (B, OK)),
        ({A: GREETING, B: [OK]}, TWO, [A, B], (B, OK)),
        ({A: [LATER], B: [OK]}, TWO, [A, B], (B, OK)),
        ({A: [LATER], B: [NEVER]}, TWO, [A, B], (B, NEVER)),
        ({A: [NEVER], B: [OK]}, TWO, [A], (A, NEVER)),
        ({A: [UNKNOWN], B: [OK]}, TWO, [A], (A, UNKNOWN)),
        ({A: f"{REFUSED} (final)", B: [OK]}, TWO, [A], (A, f"{REFUSED} (final)")),
        # The last word stands, except that a refusal to talk does not outweigh hope.
        ({A: [LATER]}, TWO, [A, B], (B, REFUSED)),
        ({A: GREETING}, TWO, [A, B], (B, REFUSED)),
        ({B: GREETING}, TWO, [A, B], (A, REFUSED)),
        ({A: [LATER], B: GREETING}, TWO, [A, B], (A, LATER)),
        ({A: GREETING, B: "521 5.7.1 nor here"}, TWO, [A, B], (B, "521 5.7.1 nor here")),
        # At most two sessions; what does not become one is not counted.
        ({A: [LATER], B: [LATER], C: [OK]}, THREE, [A, B], (B, LATER)),
        ({B: [LATER], C: [OK]}, THREE, [A, B, C], (C, OK)),
        # No host at all.
        ({}, {"x.test": NOT_FOUND}, [], ("none", NOT_FOUND)),
        ({}, {"x.test": NO_ADDRESS}, [], ("none", NO_ADDRESS)),
        ({}, {"x.test": NULL_MX}, [], ("none", NULL_MX)),
        ({}, {"x.test": LOOPS}, [], ("none", LOOPS)),
        ({}, {"x.test": NO_DNS}, [], ("none", NO_DNS)),
    ],
)
def test_one_recipient(
    bench: Bench,
    network: dict[str, Sequence[str] | str],
    routes: dict[str, Route],
    tried: list[str],
    outcome: tuple[str, str],
) -> None:
    world = Network(dict(network))
    assert told(bench.deliver(world, routes)) == [outcome]
    assert world.tried == tried


@pytest.mark.parametrize(
    ("network", "routes", "unreachable"),
    [
        ({A: [OK]}, ONE, False),
        ({A: [LATER]}, ONE, False),
        ({A: [UNKNOWN]}, ONE, False),
        ({}, ONE, True),
        ({A: GREETING}, ONE, True),
        ({}, TWO, True),
        ({B: [LATER]}, TWO, False),
        ({A: [LATER]}, TWO, False),
        ({}, {"x.test": NO_DNS}, True),
        ({}, {"x.test": NOT_FOUND}, False),
        ({}, {"x.test": LOOPS}, False),
    ],
)
def test_a_destination_is_unreachable_when_no_session_begins(
    bench: Bench,
    network: dict[str, Sequence[str] | str],
    routes: dict[str, Route],
    unreachable: bool,
) -> None:
    assert bench.deliver(Network(dict(network)), routes).unreachable is unreachable


def test_a_resolver_that_is_not_there_says_nothing_of_the_destination(bench: Bench) -> None:
    class Gone(dict[str, Route]):
        def __getitem__(self, name: str) -> Route:
            raise Unavailable("private/resolver: no such file")

    outcomes = bench.deliver(Network(), Gone())
    assert told(outcomes) == [("none", "451 4.3.0 Internal service unavailable")]
    assert not outcomes.unreachable


THREE_RECIPIENTS = ("r@x.test", "s@x.test", "t@x.test")


@pytest.mark.parametrize(
    ("network", "expected", "offered"),
    [
        ({A: [OK, OK, OK]}, [(A, OK)] * 3, [3]),
        ({A: [OK, NEVER, OK]}, [(A, OK), (A, NEVER), (A, OK)], [3]),
        # A server that takes fewer leaves the rest to the next one.
        ({A: [OK, FULL, FULL], B: [OK, OK]}, [(A, OK), (B, OK), (B, OK)], [3, 2]),
        ({A: [FULL, OK, NEVER], B: [LATER]}, [(B, LATER), (A, OK), (A, NEVER)], [3, 1]),
        ({A: [OK, FULL, NEVER]}, [(A, OK), (B, REFUSED), (A, NEVER)], [3]),
        ({B: [OK, OK, LATER]}, [(B, OK), (B, OK), (B, LATER)], [3]),
    ],
)
def test_several_recipients_in_one_transaction(
    bench: Bench,
    network: dict[str, Sequence[str] | str],
    expected: list[tuple[str, str]],
    offered: list[int],
) -> None:
    world = Network(dict(network))
    assert told(bench.deliver(world, TWO, recipients=THREE_RECIPIENTS)) == expected
    mails = [mail for session in world.sessions for mail in session.mails]
    assert [len(mail.recipients) for mail in mails] == offered
    assert mails[0].recipients == THREE_RECIPIENTS
    assert {(mail.sender, mail.body_8bit) for mail in mails} == {("s@posthouse.test", True)}


# Fallback relays

RELAYS = {"[f]": hosts(F), "[g]": hosts(G)}
MISTAKE = "451 4.3.5 "


@pytest.mark.parametrize(
    ("network", "route", "tried", "outcome"),
    [
        # Not needed, not of use, or not permitted.
        ({A: [OK]}, hosts(A), [A], (A, OK)),
        ({A: [NEVER]}, hosts(A), [A], (A, NEVER)),
        ({A: [UNKNOWN]}, hosts(A), [A], (A, UNKNOWN)),
        ({A: GREETING}, hosts(A), [A], (A, GREETING)),
        ({F: [OK]}, NULL_MX, [], ("none", NULL_MX)),
        ({F: [OK]}, LOOPS, [], ("none", LOOPS)),
        ({F: [OK]}, hosts(A, backup=True), [A], (A, REFUSED)),
        # Not found, not reached, or put off.
        ({F: [OK]}, NOT_FOUND, [F], (F, OK)),
        ({F: [OK]}, NO_ADDRESS, [F], (F, OK)),
        ({F: [OK]}, NO_DNS, [F], (F, OK)),
        ({F: [OK]}, hosts(A, B), [A, B, F], (F, OK)),
        ({A: [LATER], F: [OK]}, hosts(A), [A, F], (F, OK)),
        ({A: [LATER], B: [LATER], C: [OK], F: [OK]}, hosts(A, B, C), [A, B, F], (F, OK)),
        # In their order; what they say stands, too.
        ({G: [OK]}, NOT_FOUND, [F, G], (G, OK)),
        ({F: [LATER], G: [OK]}, hosts(A), [A, F, G], (G, OK)),
        ({F: [NEVER], G: [OK]}, hosts(A), [A, F], (F, NEVER)),
        ({F: [UNKNOWN], G: [OK]}, NOT_FOUND, [F], (F, UNKNOWN)),
        ({}, NOT_FOUND, [F, G], (G, REFUSED)),
        # Nobody bounces for a relay that does not want to talk.
        ({G: GREETING}, NOT_FOUND, [F, G], (G, MISTAKE + "no service here")),
    ],
)
def test_fallback_relays(
    bench: Bench,
    network: dict[str, Sequence[str] | str],
    route: Route,
    tried: list[str],
    outcome: tuple[str, str],
) -> None:
    world = Network(dict(network))
    routes = {"x.test": route, **RELAYS}
    assert told(bench.deliver(world, routes, fallbacks=("[f]", "[g]"))) == [outcome]
    assert world.tried == tried


@pytest.mark.parametrize(
    ("relay", "tried", "outcome"),
    [
        # It is ourselves: no other relay would know better.
        (LOOPS, [], ("none", MISTAKE + "loops back to myself")),
        (NOT_FOUND, [G], (G, OK)),
        (NO_DNS, [G], (G, OK)),
    ],
)
def test_a_fallback_relay_that_is_none(
    bench: Bench, relay: str, tried: list[str], outcome: tuple[str, str]
) -> None:
    world = Network({G: [OK]})
    routes: dict[str, Route] = {"x.test": NOT_FOUND, "[f]": relay, "[g]": hosts(G)}
    assert told(bench.deliver(world, routes, fallbacks=("[f]", "[g]"))) == [outcome]
    assert world.tried == tried


def test_each_destination_has_its_own_count_of_sessions(bench: Bench) -> None:
    world = Network({A: [LATER], B: [LATER], F: [LATER], G: [LATER, OK]})
    routes = {"x.test": hosts(A, B), "[f]": hosts(F, G)}
    bench.deliver(world, routes, fallbacks=("[f]",))
    assert world.tried == [A, B, F, G]


def test_a_fallback_relay_that_answers_makes_the_destination_reachable(bench: Bench) -> None:
    routes = {"x.test": hosts(A), **RELAYS}
    assert bench.deliver(Network(), routes, fallbacks=("[f]",)).unreachable
    assert not bench.deliver(Network({F: [LATER]}), routes, fallbacks=("[f]",)).unreachable


# Destinations that the configuration names


@pytest.mark.parametrize(
    ("recipients", "nexthop", "waits"),
    [
        (("r@x.test",), "x.test", False),
        (("r@x.test", "s@x.test"), "X.TEST", False),
        (("r@[192.0.2.1]",), "[192.0.2.1]", False),
        (("r@x.test",), "[x.test]", True),
        (("r@x.test",), "relay.test", True),
        (("r@x.test", "r@relay.test"), "relay.test", True),
    ],
)
@pytest.mark.parametrize("failure", [NOT_FOUND, LOOPS, NULL_MX, GREETING])
def test_mail_waits_until_a_mistake_of_ours_is_mended(
    bench: Bench, recipients: tuple[str, ...], nexthop: str, waits: bool, failure: str
) -> None:
    """Such as a relayhost whose name is misspelt: nobody's mail bounces for that."""
    route = hosts(A) if failure == GREETING else failure
    world = Network({A: GREETING})
    outcomes = bench.deliver(world, {nexthop: route}, recipients=recipients, nexthop=nexthop)
    text = failure.split(" ", 2)[2]
    expected = f"451 4.3.5 {text}" if waits else failure
    assert {said for _, said in told(outcomes)} == {expected}
    named = [nexthop in line.get("reason", "") for line in bench.logged("delivery")]
    assert named == [waits] * len(recipients)


def test_what_a_relayhost_says_of_a_recipient_stands(bench: Bench) -> None:
    world = Network({A: [NEVER]})
    assert told(bench.deliver(world, {"[relay.test]": hosts(A)}, nexthop="[relay.test]")) == [
        (A, NEVER)
    ]


# Kept sessions


def test_the_next_message_uses_the_session_and_asks_nobody(bench: Bench) -> None:
    world = Network({A: []})
    for _ in range(3):
        assert told(bench.deliver(world, ONE)) == [(A, OK)]
    assert world.tried == [A]
    assert len(world.sessions[0].mails) == 3
    assert bench.asked == ["x.test"]


def test_a_session_with_a_worse_host_is_not_kept_for_the_nexthop(bench: Bench) -> None:
    """Else the best one would not be tried again for as long as there is mail."""
    world = Network({B: []})
    bench.deliver(world, TWO)
    bench.deliver(world, TWO)
    assert world.tried == [A, B, A]
    assert len(world.sessions) == 1
    assert len(world.sessions[0].mails) == 2


def test_a_host_among_the_best_with_a_session_comes_first(bench: Bench) -> None:
    kept = bench.keep(B)
    world = Network({A: [OK], C: [OK]})
    assert told(bench.deliver(world, {"x.test": hosts(A, B, C, best=2)})) == [(B, OK)]
    assert len(kept.mails) == 1
    assert bench.cache.take("x.test") is kept  # and from now on it is the nexthop's


def test_a_session_with_a_worse_host_does_not_come_first(bench: Bench) -> None:
    kept = bench.keep(B)
    world = Network({A: [OK]})
    assert told(bench.deliver(world, TWO)) == [(A, OK)]
    assert not kept.mails


@pytest.mark.parametrize("noticed", [True, False])
def test_a_session_that_died_costs_no_attempt(bench: Bench, noticed: bool) -> None:
    state = {"usable": False} if noticed else {"dies": True}
    kept = bench.keep(A, "x.test")
    for name, value in state.items():
        setattr(kept, name, value)
    world = Network({A: [OK]})
    outcomes = bench.deliver(world, ONE, session_limit=1)
    assert told(outcomes) == [(A, OK)]
    assert world.tried == [A]
    assert kept.closed == 1


def test_a_host_that_is_gone_with_its_session_is_a_failed_one(bench: Bench) -> None:
    bench.keep(A, "x.test", dies=True)
    world = Network({B: [OK]})
    assert told(bench.deliver(world, TWO)) == [(B, OK)]
    assert world.tried == [A, B]
    bench.keep(A, "x.test", dies=True)
    outcomes = bench.deliver(Network(), ONE)
    assert told(outcomes) == [(A, REFUSED)]
    assert outcomes.unreachable


def test_what_a_kept_session_says_is_heard(bench: Bench) -> None:
    bench.keep(A, "x.test")._answers = iter([LATER, NEVER, OK])
    world = Network({A: [OK], B: [OK]})
    outcomes = bench.deliver(world, TWO, recipients=THREE_RECIPIENTS)
    assert told(outcomes) == [(B, OK), (A, NEVER), (A, OK)]
    assert world.tried == [B]


def test_the_dns_does_not_outweigh_what_a_host_has_said(bench: Bench) -> None:
    bench.keep(A, "x.test")._answers = iter([LATER])
    assert told(bench.deliver(Network(), {"x.test": NOT_FOUND})) == [(A, LATER)]


def test_a_session_that_cannot_go_on_is_closed_not_kept(bench: Bench) -> None:
    world = Network({A: []})
    world.single = True
    bench.deliver(world, ONE)
    bench.deliver(world, ONE)
    assert [session.closed for session in world.sessions] == [1, 1]


# What nobody foresaw


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("x"), "451 4.3.0 Internal error, please try again later"),
        (MailError(status("451 4.3.0 queue file truncated")), "451 4.3.0 queue file truncated"),
    ],
)
def test_what_was_delivered_stays_so_whatever_befalls_the_rest(
    bench: Bench, error: Exception, said: str
) -> None:
    world = Network({A: [OK, FULL, NEVER], B: [error]})
    outcomes = bench.deliver(world, TWO, recipients=THREE_RECIPIENTS)
    assert told(outcomes) == [(A, OK), ("none", said), (A, NEVER)]
    assert world.sessions[1].closed == 1
    assert len(bench.logged("internal_error")) == isinstance(error, KeyError)


def test_a_cancelled_delivery_closes_its_session(bench: Bench) -> None:
    world = Network({A: [asyncio.CancelledError()]})
    with pytest.raises(asyncio.CancelledError):
        bench.deliver(world, ONE)
    assert world.sessions[0].closed == 1
    assert len(bench.cache) == 0


# The log


def test_the_relay_is_the_host_with_address_and_port(bench: Bench) -> None:
    (outcome,) = bench.deliver(Network({A: [OK]}), ONE).outcomes
    assert outcome.relay == f"mx1.test[{A}]:25"
    (line,) = bench.logged("delivery")
    assert line["relay"] == outcome.relay


def test_encryption_is_told_once_a_session(bench: Bench) -> None:
    world = Network({A: []})
    world.tls = "TLSv1.3 with cipher X"
    bench.deliver(world, ONE)
    bench.deliver(world, ONE)
    (line,) = bench.logged("tls")
    assert (line["queue_id"], line["relay"]) == ("0" * 22, f"mx1.test[{A}]:25")
    assert line["tls"] == "TLSv1.3 with cipher X"


def test_the_largest_request_there_can_be(bench: Bench) -> None:
    recipients = [f"{number}@x.test" for number in range(50)]
    answers = [OK if number % 2 else FULL for number in range(50)]
    world = Network({A: answers, B: [OK] * 25})
    outcomes = bench.deliver(world, TWO, recipients=recipients)
    assert told(outcomes) == [(A if number % 2 else B, OK) for number in range(50)]
    assert msgspec.msgpack.encode(outcomes)
