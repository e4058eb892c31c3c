"""What the log must tell of each message, and which gaps a kill excuses."""

from collections.abc import Mapping

import pytest
from reliability.ledger import Sent
from reliability.soak.logbook import Logbook, Struck
from support.instance import DOMAIN

BOX, AWAY, NOBODY = f"box@{DOMAIN}", "to@example.test", "never@example.test"
SENT = Sent(
    "m1", "mixed", frozenset((BOX, AWAY)), frozenset((NOBODY,)), 100.0, 100.2, queue_id="first"
)
STORY: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("smtp", "accepted", {}),
    ("cleanup", "committed", {}),
    ("qmgr", "active", {}),
    ("virtual", "delivery", {"to": BOX, "status": "sent"}),
    ("outbound", "delivery", {"to": AWAY, "status": "deferred"}),
    ("outbound", "delivery", {"to": NOBODY, "status": "bounced"}),
    ("bounce", "report", {}),
    ("qmgr", "reported", {}),
    ("outbound", "delivery", {"to": AWAY, "status": "sent"}),
    ("qmgr", "removed", {}),
)


def record(moment: float, row: str, event: str, **fields: object) -> dict[str, object]:
    head = {"time": moment, "level": "info", "service": row, "process": f"{row}_000", "pid": 1}
    return {**head, "event": event, **fields}


def told(without: int = -1, anew: int = len(STORY)) -> Logbook:
    """A book that heard the story, but for one line; from line `anew` under another queue id."""
    book = Logbook()
    for number, (row, event, fields) in enumerate(STORY):
        if number != without:
            name = "first" if number < anew else "second"
            book.hear(record(100.1 + number / 10, row, event, queue_id=name, **fields))
    return book


def test_a_whole_story_has_no_gap() -> None:
    verdict = told().judge([SENT], [], {})
    assert (verdict.told, verdict.excused, verdict.gaps) == (1, 0, [])


def test_a_message_queued_anew_goes_on_under_another_id() -> None:
    assert told(anew=5).judge([SENT], [], {"first": "second"}).told == 1
    assert told(anew=5).judge([SENT], [], {}).gaps


@pytest.mark.parametrize("missing", [number for number in range(len(STORY)) if number != 4])
def test_a_missing_line_is_a_gap(missing: int) -> None:
    book, row = told(without=missing), STORY[missing][0]
    assert book.judge([SENT], [], {}).gaps
    for struck in (row, "log", "supervisord"):
        verdict = book.judge([SENT], [Struck(100.5, struck)], {})
        assert (verdict.told, verdict.excused, verdict.gaps) == (0, 1, [])
    stranger = "cleanup" if row != "cleanup" else "qmgr"
    assert book.judge([SENT], [Struck(100.5, stranger)], {}).gaps, "a kill of another row"
    assert book.judge([SENT], [Struck(99.0, row), Struck(110.0, row)], {}).gaps, "another time"


def test_a_message_of_which_nothing_is_heard_is_a_gap() -> None:
    assert Logbook().judge([SENT], [], {}).gaps


def test_time_goes_on_in_each_process() -> None:
    book = Logbook()
    book.hear(record(10.0, "qmgr", "active"))
    book.hear(record(9.0, "smtp", "connect"))  # another one may be read later
    assert not book.backwards
    book.hear(record(9.5, "qmgr", "removed"))
    assert book.backwards == ["qmgr_000[1]: removed at 9.500000"]


def test_drops_are_told_of_and_a_dead_reader_excuses_them() -> None:
    book = Logbook()
    book.hear(record(50.0, "smtp", "connect", dropped=3))
    assert book.unexcused_drops([]) == ["smtp_000 dropped 3 lines"]
    assert not book.unexcused_drops([Struck(45.0, "log")])
    assert book.unexcused_drops([Struck(45.0, "qmgr")])


def test_what_no_disturbance_explains_is_an_alarm() -> None:
    book = Logbook()
    book.hear(record(50.0, "qmgr", "internal_error", reason="what?"))
    assert book.alarms == ["qmgr_000: internal_error: reason='what?'"]
