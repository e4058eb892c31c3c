"""`mta queue mailq` looks as Postfix's mailq does to those who read it."""

import re

from mta.commands.queue.mailq import classic_list
from mta.queue.entry import Entry
from mta.queue.layout import State

QUEUE_ID = "0" * 21 + "z"


def entry(state: State, *, damaged: bool = False, size: int = 1000, sender: str = "a@b") -> Entry:
    return Entry(
        queue_id=QUEUE_ID,
        state=state,
        size=size,
        arrived=1_700_000_000.0,
        attempts=1,
        next_attempt=0.0,
        sender=sender,
        recipients=("one@x.test", "two@x.test", "three@x.test"),
        statuses=("450 4.2.0 Busy", "450 4.2.0 Busy", ""),
        reason="",
        damaged=damaged,
    )


def test_an_empty_queue() -> None:
    assert list(classic_list([])) == ["Mail queue is empty"]


def test_a_message() -> None:
    head, first, reason, one, two, three, gap, end = classic_list([entry("deferred")])
    assert head.startswith("-Queue ID-")
    assert re.fullmatch(
        rf"{QUEUE_ID} +1000 [A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ 0-9]\d \d\d:\d\d:\d\d +a@b", first
    )
    assert (reason.strip(), len(reason)) == ("(450 4.2.0 Busy)", 78)
    assert [one.strip(), two.strip(), three.strip()] == ["one@x.test", "two@x.test", "three@x.test"]
    assert first.index("a@b") == one.index("one@") == head.index("-Sender")
    assert (gap, end) == ("", "-- 1 Kbytes in 1 Request.")


def test_marks_and_sums() -> None:
    lines = list(classic_list([entry("incoming", sender=""), entry("hold", size=5000)]))
    assert lines[1].startswith(f"{QUEUE_ID}*")
    assert lines[1].endswith("MAILER-DAEMON")
    assert [line[22] for line in lines if line.startswith(QUEUE_ID)] == ["*", "!"]
    assert lines[-1] == "-- 6 Kbytes in 2 Requests."


def test_what_a_peer_wrote_steers_no_terminal() -> None:
    assert "\x1b" not in "".join(classic_list([entry("hold", sender="\x1b[2J@x.test")]))
