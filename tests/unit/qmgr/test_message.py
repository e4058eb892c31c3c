"""What becomes of a message, as a table: what was known, what an attempt brought, the verdict."""

import pytest

from mta.config.parameters import Parameters
from mta.daemons.qmgr.message import Again, Attempt, Hold, Postpone, Remove, Verdict
from mta.ipc.messages import Outcome
from mta.proto.envelope import Envelope, Origin, Recipient
from mta.proto.status import Disposition, Status
from mta.queue.journal import Attempted

ARRIVED = 1000.0
PARAMETERS = Parameters(
    queue_directory="/q",
    log_file="/l",
    myhostname="mx.test",
    minimal_backoff_time=300.0,
    maximal_backoff_time=4000.0,
    maximal_queue_lifetime=86400.0,
)
STATUSES = {
    "d": (Disposition.DELIVERED, Status(250, "2.0.0", "ok")),
    "l": (Disposition.DEFERRED, Status(450, "4.2.1", "later")),
    "b": (Disposition.BOUNCED, Status(550, "5.1.1", "unknown")),
}


def envelope(recipients: int) -> Envelope:
    return Envelope(
        "s@example.org",
        tuple(Recipient(f"u{number}@x.test", "") for number in range(recipients)),
        Origin("SMTP", "", 0, "", "smtp"),
        ARRIVED,
        body_8bit=False,
    )


def known(pattern: str) -> dict[int, Attempted]:
    return {
        index: Attempted(1.0, index, *STATUSES[letter], "virtual")
        for index, letter in enumerate(pattern)
        if letter != "-"
    }


def outcomes(pattern: str) -> list[Outcome]:
    return [
        Outcome(index, *STATUSES[letter], "virtual")
        for index, letter in enumerate(pattern)
        if letter != "-"
    ]


@pytest.mark.parametrize(
    ("before", "now", "age", "verdict"),
    [
        # One letter a recipient: d delivered, l deferred (later), b bounced, - nothing.
        ("-", "d", 5, Remove()),
        ("--", "dd", 5, Remove()),
        ("d-", "-d", 5, Remove()),
        ("l", "d", 5, Remove()),
        ("dd", "--", 5, Remove()),  # the former attempt could not remove it
        ("-", "d", 90_000, Remove()),  # late, but there
        ("-", "l", 5, Postpone(ARRIVED + 305, "450 4.2.1 later")),
        ("l", "l", 600, Postpone(ARRIVED + 1200, "450 4.2.1 later")),
        ("--", "dl", 5, Postpone(ARRIVED + 305, "450 4.2.1 later")),
        ("--", "bl", 5, Postpone(ARRIVED + 305, "450 4.2.1 later")),  # others are still tried
        ("-", "b", 5, Hold("1 bounced: 550 5.1.1 unknown")),
        ("--", "db", 5, Hold("1 bounced: 550 5.1.1 unknown")),
        ("b-", "-d", 5, Hold("1 bounced: 550 5.1.1 unknown")),
        ("bb", "--", 5, Hold("2 bounced: 550 5.1.1 unknown")),  # it came back from hold/
        ("-", "l", 90_000, Hold("undelivered after 90000 s: 450 4.2.1 later")),
        ("-", "-", 5, Again()),  # the request was lost
        ("l", "-", 5, Again()),
        ("--", "d-", 5, Again()),
        ("--", "l-", 5, Again()),
        ("--", "d-", 90_000, Hold("undelivered after 90000 s: ")),  # it kills every agent
    ],
)
def test_verdicts(before: str, now: str, age: float, verdict: Verdict) -> None:
    attempt = Attempt(envelope(len(before)), known(before))
    attempt.note(ARRIVED + age, outcomes(now))
    assert attempt.verdict(ARRIVED + age, PARAMETERS) == verdict


def test_only_those_who_are_not_finished_are_tried() -> None:
    attempt = Attempt(envelope(4), known("dlb-"))
    assert list(attempt.recipients()) == [1, 3]


def test_each_outcome_is_recorded_once() -> None:
    attempt = Attempt(envelope(3), known("d--"))
    attempt.note(2.0, outcomes("-dl"))
    assert [(record.when, record.index) for record in attempt.unwritten] == [(2.0, 1), (2.0, 2)]


def test_what_is_finished_stays_so_whatever_an_agent_says_later() -> None:
    attempt = Attempt(envelope(1), known("d"))
    attempt.note(2.0, outcomes("b"))
    assert attempt.unwritten == []
    assert attempt.verdict(2.0, PARAMETERS) == Remove()


def test_what_the_disk_would_not_take_is_still_known() -> None:
    """The delivery was made; only its record could not be written (no space)."""
    first = Attempt(envelope(2), {})
    first.note(2.0, outcomes("dl"))
    second = Attempt(envelope(2), {}, first.unwritten)
    assert list(second.recipients()) == [1]
    assert second.unwritten == first.unwritten
    second.note(3.0, outcomes("-d"))
    assert second.verdict(3.0, PARAMETERS) == Remove()


def test_pending_until_the_last_outcome_is_in() -> None:
    attempt = Attempt(envelope(2), {})
    attempt.note(2.0, outcomes("d-"))
    assert attempt.pending
    attempt.note(2.0, outcomes("-l"))
    assert not attempt.pending
