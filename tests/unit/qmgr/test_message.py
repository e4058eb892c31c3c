"""What becomes of a message, as tables: what was known, what an attempt brought, the verdict."""

import msgspec
import pytest

from mta.config.parameters import Parameters
from mta.daemons.qmgr.message import Again, Attempt, Hold, Owe, Postpone, Remove, Verdict
from mta.ipc.messages import Outcome
from mta.proto.envelope import Envelope, Origin, Recipient
from mta.proto.status import Disposition, ReportKind, Status
from mta.queue.journal import Attempted, Notified

ARRIVED = 1000.0
PARAMETERS = Parameters(
    queue_directory="/q",
    log_file="/l",
    myhostname="mx.test",
    minimal_backoff_time=300.0,
    maximal_backoff_time=4000.0,
    maximal_queue_lifetime=86400.0,
    bounce_queue_lifetime=3600.0,
    delay_warning_time=7200.0,
)
STATUSES = {
    "d": (Disposition.DELIVERED, Status(250, "2.0.0", "ok")),
    "l": (Disposition.DEFERRED, Status(450, "4.2.1", "later")),
    "b": (Disposition.BOUNCED, Status(550, "5.1.1", "unknown")),
}


def envelope(recipients: int, sender: str = "s@example.org") -> Envelope:
    return Envelope(
        sender,
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
        ("-", "l", 5, Postpone(300, "450 4.2.1 later")),
        ("l", "l", 600, Postpone(600, "450 4.2.1 later")),
        ("--", "dl", 5, Postpone(300, "450 4.2.1 later")),
        ("--", "bl", 5, Postpone(300, "450 4.2.1 later")),  # others are still tried
        ("-", "b", 5, Remove()),
        ("--", "db", 5, Remove()),
        ("bb", "--", 5, Remove()),
        ("-", "-", 5, Again()),  # the request was lost
        ("l", "-", 5, Again()),
        ("--", "d-", 5, Again()),
        ("--", "l-", 5, Again()),
        ("--", "b-", 5, Again()),
        ("-", "-", 90_000, Again()),  # too old, but nobody lived to try it
    ],
)
def test_verdicts_when_the_sender_was_told(
    before: str, now: str, age: float, verdict: Verdict
) -> None:
    attempt = Attempt(envelope(len(before)), known(before))
    attempt.note(ARRIVED + age, outcomes(now))
    if attempt.owed(age, PARAMETERS) is ReportKind.FAILURE:
        attempt.told(ARRIVED + age, ReportKind.FAILURE)
    assert attempt.verdict(age, PARAMETERS) == verdict


@pytest.mark.parametrize(
    ("pattern", "nobody", "verdict"),
    [
        ("bb", False, Owe("the sender could not be told: no answer")),
        ("db", False, Owe("the sender could not be told: no answer")),
        ("bl", False, Postpone(300, "450 4.2.1 later")),  # told with the next attempt
        ("bb", True, Hold("nobody to tell: 2 bounced: 550 5.1.1 unknown")),
        ("bd", True, Hold("nobody to tell: 1 bounced: 550 5.1.1 unknown")),
        ("bl", True, Postpone(300, "450 4.2.1 later")),  # the other is still tried
    ],
)
def test_verdicts_when_the_sender_was_not_told(
    pattern: str, nobody: bool, verdict: Verdict
) -> None:
    attempt = Attempt(envelope(len(pattern)), {})
    attempt.note(ARRIVED + 5, outcomes(pattern))
    assert attempt.owed(5, PARAMETERS) is ReportKind.FAILURE
    if nobody:
        attempt.nobody_to_tell()
        assert attempt.owed(5, PARAMETERS) is None
    else:
        attempt.not_told("no answer")
    assert attempt.verdict(5, PARAMETERS) == verdict


@pytest.mark.parametrize(
    ("sender", "before", "reported", "now", "age", "owed"),
    [
        # `reported` names the recipients that an earlier report told of.
        ("s@example.org", "--", "", "dd", 5, None),
        ("s@example.org", "--", "", "db", 5, ReportKind.FAILURE),
        ("s@example.org", "--", "", "lb", 5, ReportKind.FAILURE),  # not only at the end
        ("s@example.org", "--", "", "b-", 5, None),  # soon again: one report for all
        ("s@example.org", "b-", "0", "-d", 5, None),
        ("s@example.org", "b-", "", "-d", 5, ReportKind.FAILURE),  # a crash came in between
        ("s@example.org", "b-", "0", "-b", 5, ReportKind.FAILURE),
        ("s@example.org", "bb", "01", "--", 5, None),
        ("", "-", "", "b", 5, ReportKind.FAILURE),  # whom to tell is the bounce service's affair
        ("s@example.org", "-", "", "l", 7199, None),
        ("s@example.org", "-", "", "l", 7200, ReportKind.DELAY),
        ("s@example.org", "b-", "0", "-l", 7200, ReportKind.DELAY),
        ("s@example.org", "--", "", "bl", 7200, ReportKind.FAILURE),  # the delay afterwards
        ("s@example.org", "-", "", "d", 7200, None),
        ("s@example.org", "-", "", "-", 7200, None),
        ("", "-", "", "l", 7200, None),
    ],
)
def test_what_the_sender_is_told(
    sender: str, before: str, reported: str, now: str, age: float, owed: ReportKind | None
) -> None:
    attempt = Attempt(envelope(len(before), sender), known(before), reported=map(int, reported))
    attempt.note(ARRIVED + age, outcomes(now))
    assert attempt.owed(age, PARAMETERS) is owed


def test_the_sender_is_told_of_each_matter_once() -> None:
    attempt = Attempt(envelope(2), {})
    attempt.note(ARRIVED + 8000, outcomes("bl"))
    told = []
    while (kind := attempt.owed(8000, PARAMETERS)) is not None:
        told.append(kind)
        attempt.told(ARRIVED + 8000, kind)
    assert told == [ReportKind.FAILURE, ReportKind.DELAY]
    assert attempt.unwritten[2:] == [Notified(ARRIVED + 8000, kind) for kind in told]
    following = Attempt(envelope(2), known("bl"), reported={0}, delay_reported=True)
    following.note(ARRIVED + 9000, outcomes("-l"))
    assert following.owed(9000, PARAMETERS) is None


def test_no_delay_is_told_unless_an_operator_wants_it() -> None:
    attempt = Attempt(envelope(1), {})
    attempt.note(ARRIVED + 80_000, outcomes("l"))
    silent = msgspec.structs.replace(PARAMETERS, delay_warning_time=0.0)
    assert attempt.owed(80_000, silent) is None


@pytest.mark.parametrize(
    ("sender", "before", "now", "age", "expired"),
    [
        ("s@example.org", "-", "l", 86_399, []),
        ("s@example.org", "-", "l", 86_400, [0]),
        ("s@example.org", "-", "d", 90_000, []),  # late, but there
        ("s@example.org", "d--", "-bl", 90_000, [2]),
        ("s@example.org", "--", "l-", 90_000, []),  # one was lost: not without an attempt
        ("", "-", "l", 3599, []),
        ("", "-", "l", 3600, [0]),
    ],
)
def test_who_is_left_when_the_time_is_over_is_bounced(
    sender: str, before: str, now: str, age: float, expired: list[int]
) -> None:
    attempt = Attempt(envelope(len(before), sender), known(before))
    attempt.note(ARRIVED + age, outcomes(now))
    last = attempt.expire(age, PARAMETERS)
    status = Status(554, "5.4.7", "delivery time expired; last: 450 4.2.1 later")
    assert last == [Outcome(index, Disposition.BOUNCED, status, "none") for index in expired]
    attempt.note(ARRIVED + age, last)
    assert not (expired and attempt.recipients())


def test_a_lifetime_of_nothing_means_one_attempt() -> None:
    once = msgspec.structs.replace(PARAMETERS, bounce_queue_lifetime=0.0)
    attempt = Attempt(envelope(1, ""), {})
    assert attempt.expire(0, once) == []
    attempt.note(ARRIVED, outcomes("l"))
    assert len(attempt.expire(0, once)) == 1


def test_an_operator_gives_up_whoever_is_left() -> None:
    attempt = Attempt(envelope(4), known("dlb-"), reported={2})
    last = attempt.give_up()
    assert {outcome.index: outcome.status.text for outcome in last} == {
        1: "returned to the sender by the operator; last: 450 4.2.1 later",
        3: "returned to the sender by the operator",
    }
    attempt.note(ARRIVED + 5, last)
    assert attempt.owed(5, PARAMETERS) is ReportKind.FAILURE
    attempt.told(ARRIVED + 5, ReportKind.FAILURE)
    assert attempt.verdict(5, PARAMETERS) == Remove()


def test_a_long_reason_still_fits_a_status() -> None:
    attempt = Attempt(
        envelope(1),
        {0: Attempted(1.0, 0, Disposition.DEFERRED, Status(450, "4.2.1", "x" * 512), "")},
    )
    assert len(attempt.give_up()[0].status.text) == 512


def test_what_no_agent_lived_through_is_a_deferral_in_the_end() -> None:
    attempt = Attempt(envelope(2), {})
    attempt.note(ARRIVED + 90_000, outcomes("d-"))
    attempt.note(ARRIVED + 90_000, attempt.lose())
    assert isinstance(attempt.verdict(90_000, PARAMETERS), Postpone)
    assert [outcome.index for outcome in attempt.expire(90_000, PARAMETERS)] == [1]


def test_only_those_who_are_not_finished_are_tried() -> None:
    attempt = Attempt(envelope(4), known("dlb-"))
    assert list(attempt.recipients()) == [1, 3]


def test_each_outcome_is_recorded_once() -> None:
    attempt = Attempt(envelope(3), known("d--"))
    attempt.note(2.0, outcomes("-dl"))
    records = [record for record in attempt.unwritten if isinstance(record, Attempted)]
    assert [(record.when, record.index) for record in records] == [(2.0, 1), (2.0, 2)]


def test_what_is_finished_stays_so_whatever_an_agent_says_later() -> None:
    attempt = Attempt(envelope(1), known("d"))
    attempt.note(2.0, outcomes("b"))
    assert attempt.unwritten == []
    assert attempt.verdict(2.0, PARAMETERS) == Remove()


def test_what_the_disk_would_not_take_is_still_known() -> None:
    """The delivery and the report were made; only their records could not be written (no space)."""
    first = Attempt(envelope(3), {})
    first.note(2.0, outcomes("dlb"))
    first.told(2.0, ReportKind.FAILURE)
    second = Attempt(envelope(3), {}, unwritten=first.unwritten)
    assert list(second.recipients()) == [1]
    assert second.unwritten == first.unwritten
    second.note(3.0, outcomes("-d"))
    assert second.owed(3.0, PARAMETERS) is None
    assert second.verdict(3.0, PARAMETERS) == Remove()


def test_pending_until_the_last_outcome_is_in() -> None:
    attempt = Attempt(envelope(2), {})
    attempt.note(2.0, outcomes("d-"))
    assert attempt.pending
    attempt.note(2.0, outcomes("-l"))
    assert not attempt.pending
