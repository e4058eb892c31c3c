"""Which messages the criteria of `mta queue` mean."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.commands.queue.selection import Criteria, matches
from mta.queue.entry import Entry
from mta.queue.layout import STATES

NOW = 1_700_000_000.0
HOUR = 3600.0
WAITING = Entry(
    queue_id="B" * 22,
    state="deferred",
    size=1000,
    arrived=NOW - 2 * HOUR,
    attempts=3,
    next_attempt=NOW + HOUR,
    sender="News@Example.ORG",
    recipients=("Bob@sub.posthouse.test", "carol@example.net"),
    statuses=("451 4.4.1 connect to mx[192.0.2.1]:25: Connection timed out", ""),
    reason="450 4.2.0 Mailbox Busy",
    damaged=False,
)
BOUNCE = dataclasses.replace(WAITING, sender="")
DAMAGED = Entry("D" * 22, "incoming", 7, NOW, 0, 0.0, "", (), (), "damaged head", damaged=True)


@pytest.mark.parametrize(
    ("entry", "criteria", "expected"),
    [
        (WAITING, {}, True),
        (DAMAGED, {}, True),
        (WAITING, {"sender": "news@example.org"}, True),
        (WAITING, {"sender": "news@example.or"}, False),
        (WAITING, {"sender": "@example.org"}, True),
        (WAITING, {"sender": "@EXAMPLE.org"}, True),
        (WAITING, {"sender": "@ample.org"}, False),
        (WAITING, {"sender": "@org"}, False),
        (WAITING, {"sender": ""}, False),
        (BOUNCE, {"sender": ""}, True),
        (BOUNCE, {"sender": "@example.org"}, False),
        (DAMAGED, {"sender": ""}, False),
        (WAITING, {"recipient": "bob@SUB.posthouse.test"}, True),
        (WAITING, {"recipient": "carol@example.net"}, True),
        (WAITING, {"recipient": "bob"}, False),
        (WAITING, {"recipient": "bob@posthouse.test"}, False),
        (WAITING, {"domain": "example.net"}, True),
        (WAITING, {"domain": "Sub.Posthouse.Test"}, True),
        (WAITING, {"domain": "posthouse.test"}, False),
        (WAITING, {"domain": "example.org"}, False),
        (DAMAGED, {"domain": "example.net"}, False),
        (WAITING, {"older_than": 2 * HOUR}, True),
        (WAITING, {"older_than": 2 * HOUR + 1}, False),
        (WAITING, {"newer_than": 2 * HOUR}, False),
        (WAITING, {"newer_than": 2 * HOUR + 1}, True),
        (WAITING, {"older_than": HOUR, "newer_than": 3 * HOUR}, True),
        (WAITING, {"reason": "mailbox busy"}, True),
        (WAITING, {"reason": "MX[192.0.2.1]:25"}, True),
        (WAITING, {"reason": ".*"}, False),
        (DAMAGED, {"reason": "damaged"}, True),
        (WAITING, {"state": "deferred"}, True),
        (WAITING, {"state": "hold"}, False),
        (WAITING, {"state": "deferred", "domain": "example.net", "reason": "busy"}, True),
        (WAITING, {"state": "deferred", "domain": "example.net", "reason": "full"}, False),
    ],
)
def test_what_the_criteria_mean(entry: Entry, criteria: dict[str, Any], expected: bool) -> None:
    assert matches(Criteria(**criteria), entry, NOW) is expected


ADDRESSES = st.sampled_from(["", "a@x.test", "A@X.TEST", "b@x.test", "a@y.test", "postmaster"])
TEXTS = st.sampled_from(["", "Busy", "busy here", "timed out", "ß", "SS"])
ENTRIES = st.builds(
    Entry,
    queue_id=st.just("B" * 22),
    state=st.sampled_from(STATES),
    size=st.just(1),
    arrived=st.floats(NOW - 1000, NOW + 10),
    attempts=st.just(1),
    next_attempt=st.just(0.0),
    sender=ADDRESSES,
    recipients=st.lists(ADDRESSES, max_size=3).map(tuple),
    statuses=st.lists(TEXTS, max_size=3).map(tuple),
    reason=TEXTS,
    damaged=st.booleans(),
)
CRITERIA = st.builds(
    Criteria,
    sender=st.none() | ADDRESSES | st.sampled_from(["@x.test", "@Y.test"]),
    recipient=st.none() | ADDRESSES,
    domain=st.none() | st.sampled_from(["x.test", "Y.TEST", "z.test"]),
    older_than=st.none() | st.floats(0, 1000),
    newer_than=st.none() | st.floats(0, 1000),
    reason=st.none() | TEXTS,
    state=st.none() | st.sampled_from(STATES),
)


def _single(criteria: Criteria) -> list[Criteria]:
    """Each criterion that is given, alone."""
    given_ones = dataclasses.asdict(criteria).items()
    return [Criteria(**{name: value}) for name, value in given_ones if value is not None]


@given(CRITERIA, ENTRIES)
def test_criteria_are_anded(criteria: Criteria, entry: Entry) -> None:
    assert matches(criteria, entry, NOW) == all(
        matches(one, entry, NOW) for one in _single(criteria)
    )


@given(st.floats(0, 1000), ENTRIES)
def test_every_message_is_either_older_or_newer(age: float, entry: Entry) -> None:
    assert matches(Criteria(older_than=age), entry, NOW) != matches(
        Criteria(newer_than=age), entry, NOW
    )


@given(CRITERIA, ENTRIES)
def test_case_makes_no_difference(criteria: Criteria, entry: Entry) -> None:
    loud = dataclasses.replace(
        criteria,
        sender=criteria.sender and criteria.sender.upper(),
        recipient=criteria.recipient and criteria.recipient.upper(),
        domain=criteria.domain and criteria.domain.upper(),
        reason=criteria.reason and criteria.reason.upper(),
    )
    assert matches(loud, entry, NOW) == matches(criteria, entry, NOW)


@given(ENTRIES)
def test_nothing_is_meant_by_a_recipient_who_is_not_there(entry: Entry) -> None:
    nobody = dataclasses.replace(entry, recipients=(), statuses=())
    assert not matches(Criteria(domain="x.test"), nobody, NOW)
    assert not matches(Criteria(recipient="a@x.test"), nobody, NOW)
