"""The judge must find what is wrong: each law is broken once."""

from reliability.ledger import Arrival, Ledger, Sent, Verdict

BOB = "bob@posthouse.test"
CAROL = "carol@example.test"


def sent(mark: str = "m", *, to: tuple[str, ...] = (BOB,), told: tuple[str, ...] = ()) -> Sent:
    return Sent(mark, "local", frozenset(to), frozenset(told), began=100.0)


def copy(began: float, *, whole: bool = True, report: bool = False) -> Arrival:
    return Arrival(began, began + 0.5, whole, report)


def judged(ledger: Ledger, *crashes: float) -> Verdict:
    return ledger.judge(crashes, {"ID": [101.0, 200.0, 300.0]})


def acknowledged(message: Sent | None = None) -> Ledger:
    ledger = Ledger()
    ledger.sending(message or sent())
    ledger.acknowledge("m", "ID")
    return ledger


def test_all_is_well() -> None:
    ledger = acknowledged(sent(to=(BOB, CAROL)))
    assert ledger.missing() == [("m", BOB), ("m", CAROL)]
    for recipient in (BOB, CAROL):
        ledger.arrive("m", recipient, copy(101.5))
    assert not ledger.missing()
    verdict = judged(ledger)
    assert not verdict.failures
    assert (verdict.acknowledged, verdict.recipients, verdict.extra) == (1, 2, 0)


def test_an_acknowledged_message_is_lost() -> None:
    verdict = judged(acknowledged())
    assert verdict.failures == ["acknowledged and lost: m (local, ID) for " + BOB]
    assert verdict.lost == 1


def test_a_report_is_lost() -> None:
    ledger = acknowledged(sent(to=(BOB,), told=(CAROL,)))
    ledger.arrive("m", BOB, copy(101.5))
    assert judged(ledger).failures == ["acknowledged and lost: m (local, ID) for " + CAROL]


def test_what_nobody_heard_of_may_arrive_or_not() -> None:
    ledger = Ledger()
    for mark in ("m", "n"):
        ledger.sending(sent(mark))
    ledger.arrive("m", BOB, copy(101.5))
    verdict = judged(ledger)
    assert not verdict.failures
    assert (verdict.unacknowledged, verdict.unacknowledged_arrived) == (2, 1)


def test_a_torn_message_arrives() -> None:
    ledger = acknowledged()
    ledger.arrive("m", BOB, copy(101.5, whole=False))
    assert judged(ledger).failures == ["not whole: m (local, ID) for " + BOB]


def test_what_its_client_gave_up_arrives() -> None:
    ledger = Ledger()
    message = sent()
    message.abandoned = True
    ledger.sending(message)
    ledger.arrive("m", BOB, copy(101.5))
    (failure,) = judged(ledger).failures
    assert failure.startswith("given up by its client")


def test_it_arrives_where_nobody_sent_it() -> None:
    ledger = acknowledged()
    ledger.arrive("m", BOB, copy(101.5))
    ledger.arrive("m", CAROL, copy(101.5))
    ledger.arrive("x", BOB, copy(101.5))
    assert len(judged(ledger).failures) == 2


def test_a_recipient_is_bounced_who_was_to_have_it() -> None:
    ledger = acknowledged()
    ledger.arrive("m", BOB, copy(101.5, report=True))
    (failure,) = judged(ledger).failures
    assert failure.startswith("where it does not belong")


def test_a_second_copy_needs_a_crash_in_its_flight() -> None:
    ledger = acknowledged()
    for began in (201.0, 301.0):
        ledger.arrive("m", BOB, copy(began))
    assert not judged(ledger, 205.0).failures
    assert judged(ledger, 205.0).extra == 1
    assert judged(ledger).failures, "no crash"
    assert judged(ledger, 150.0).failures, "before the attempt that made the first copy"
    assert judged(ledger, 305.0).failures, "after the second copy"


def test_each_extra_copy_needs_a_crash_of_its_own() -> None:
    ledger = acknowledged()
    for began in (101.5, 201.0, 301.0):
        ledger.arrive("m", BOB, copy(began))
    assert judged(ledger, 150.0).failures
    assert not judged(ledger, 150.0, 250.0).failures
    assert judged(ledger, 150.0, 250.0).most_extra == 2


def test_many_failures_are_counted() -> None:
    ledger = Ledger()
    for number in range(50):
        ledger.sending(sent(f"m{number}"))
        ledger.acknowledge(f"m{number}", f"ID{number}")
    verdict = judged(ledger)
    failures = verdict.failures
    assert verdict.lost == 50
    assert len(failures) < 10
    assert failures[-1].endswith("45 more")
