"""Records in Postfix's form: the lines that its readers know, and one line whatever comes."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.daemons.log.classic import ClassicForm
from mta.daemons.log.lines import Record
from mta.util.log import Value

QUEUE_ID = "0" * 21 + "Z"
NOON = time.mktime((2026, 11, 4, 12, 0, 7, 0, 0, -1))
PROGRAMS = {"smtp": "posthouse/smtpd", "outbound": "posthouse/smtp"}
CLIENT = "[192.0.2.1]:4444"

# Event, further fields -> what stands behind the colon.
CASES: list[tuple[str, Record, str]] = [
    ("connect", {"client": CLIENT}, "connect from unknown[192.0.2.1]"),
    ("connect", {"client": "[2001:db8::1]:4444"}, "connect from unknown[2001:db8::1]"),
    ("connect", {"client": "local"}, "connect from localhost[127.0.0.1]"),
    (
        "disconnect",
        {"client": CLIENT, "helo": "a", "commands": 6, "messages": 1, "seconds": 0.5},
        "disconnect from unknown[192.0.2.1] commands=6",
    ),
    (
        "tls",
        {"client": CLIENT, "tls": "TLSv1.3 with cipher X (256 bits)"},
        (
            "Anonymous TLS connection established from unknown[192.0.2.1]: "
            "TLSv1.3 with cipher X (256 bits)"
        ),
    ),
    (
        "tls",
        {"queue_id": QUEUE_ID, "relay": "mx.test[192.0.2.2]:25", "tls": "TLSv1.3"},
        f"{QUEUE_ID}: Untrusted TLS connection established to mx.test[192.0.2.2]:25: TLSv1.3",
    ),
    (
        "tls_failed",
        {"client": CLIENT, "helo": "a", "reason": "wrong version number"},
        "SSL_accept error from unknown[192.0.2.1]: wrong version number",
    ),
    (
        "accepted",
        {"queue_id": QUEUE_ID, "client": CLIENT, "helo": "a", "sender": "a@a.test", "size": 7},
        f"{QUEUE_ID}: client=unknown[192.0.2.1]",
    ),
    (
        "reject",
        {
            "client": CLIENT,
            "protocol": "ESMTP",
            "helo": "a.test",
            "command": "RCPT",
            "sender": "a@a.test",
            "recipient": "b@b.test",
            "reason": "",
            "status": "554 5.7.1 <b@b.test>: Relay access denied",
        },
        (
            "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 554 5.7.1 <b@b.test>: Relay access "
            "denied; from=<a@a.test> to=<b@b.test> proto=ESMTP helo=<a.test>"
        ),
    ),
    (
        "reject",
        {
            "client": CLIENT,
            "protocol": "SMTP",
            "helo": "",
            "command": "DATA",
            "sender": "",
            "recipient": "",
            "reason": "disk full",
            "status": "452 4.3.1 Insufficient system storage",
        },
        (
            "NOQUEUE: reject: DATA from unknown[192.0.2.1]: 452 4.3.1 Insufficient system storage; "
            "from=<> proto=SMTP helo=<> (disk full)"
        ),
    ),
    (
        "reject",
        {
            "client": CLIENT,
            "protocol": "SMTP",
            "helo": "",
            "command": "FOO",
            "sender": None,
            "recipient": "",
            "reason": "",
            "status": "500 5.5.2 Error: what",
        },
        "NOQUEUE: reject: FOO from unknown[192.0.2.1]: 500 5.5.2 Error: what; proto=SMTP helo=<>",
    ),
    (
        "committed",
        {"queue_id": QUEUE_ID, "message_id": "1@a.test", "size": 7},
        f"{QUEUE_ID}: message-id=<1@a.test>",
    ),
    (
        "active",
        {"queue_id": QUEUE_ID, "sender": "", "size": 2048, "recipients": 3},
        f"{QUEUE_ID}: from=<>, size=2048, nrcpt=3 (queue active)",
    ),
    ("removed", {"queue_id": QUEUE_ID}, f"{QUEUE_ID}: removed"),
    (
        "delivery",
        {
            "queue_id": QUEUE_ID,
            "to": "b@b.test",
            "original_to": "B@b.test",
            "relay": "mx.test[192.0.2.2]:25",
            "delay": 1.204,
            "dsn": "2.0.0",
            "status": "sent",
            "text": "250 2.0.0 Ok",
        },
        (
            f"{QUEUE_ID}: to=<b@b.test>, orig_to=<B@b.test>, relay=mx.test[192.0.2.2]:25, "
            "delay=1.2, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
        ),
    ),
    (
        "delivery",
        {
            "queue_id": QUEUE_ID,
            "to": "b@b.test",
            "original_to": "b@b.test",
            "relay": "none",
            "delay": 60,
            "dsn": "4.3.0",
            "status": "deferred",
            "text": "mail transport unavailable",
            "reason": "no row 'x' that delivers",
        },
        (
            f"{QUEUE_ID}: to=<b@b.test>, relay=none, delay=60, dsn=4.3.0, status=deferred "
            "(mail transport unavailable: no row 'x' that delivers)"
        ),
    ),
    (
        "report",
        {"queue_id": QUEUE_ID, "report": "1" * 22, "kind": "failed", "to": "a@a.test"},
        f"{QUEUE_ID}: sender non-delivery notification: {'1' * 22}",
    ),
    (
        "report",
        {"queue_id": QUEUE_ID, "report": "1" * 22, "kind": "delayed", "to": "a@a.test"},
        f"{QUEUE_ID}: sender delay notification: {'1' * 22}",
    ),
    # What Postfix has no form for, or what is not as it should be.
    ("retiring", {"reason": "max_use", "clients": 2}, "retiring reason=max_use clients=2"),
    ("x", {"text": 'a "b"', "empty": "", "none": None}, r'x text="a \"b\"" empty=""'),
    ("deferred", {"queue_id": QUEUE_ID, "attempts": 1}, f"{QUEUE_ID}: deferred attempts=1"),
    ("connect", {"client": 5}, "connect client=5"),
    ("removed", {"queue_id": ""}, "removed"),
    ("delivery", {"queue_id": QUEUE_ID, "to": "x"}, f"{QUEUE_ID}: delivery to=x"),
    ("report", {"queue_id": QUEUE_ID, "report": ""}, f'{QUEUE_ID}: report report=""'),
]


def written(event: Value, fields: Record, level: Value = "info") -> str:
    head: Record = {"time": NOON, "level": level, "service": "smtp", "pid": 71, "event": event}
    return ClassicForm("mx.test", PROGRAMS)(b"", {**head, **fields}).decode()


@pytest.mark.parametrize(("event", "fields", "text"), CASES)
def test_forms(event: str, fields: Record, text: str) -> None:
    assert written(event, fields) == f"Nov  4 12:00:07 mx.test posthouse/smtpd[71]: {text}\n"


@pytest.mark.parametrize("level", ["warning", "error"])
def test_what_an_operator_should_look_at_is_marked(level: str) -> None:
    line = written("suspended", {"queue_id": QUEUE_ID, "reason": "no answer"}, level)
    assert line.endswith(f']: {level}: {QUEUE_ID}: suspended reason="no answer"\n')


def test_a_form_of_postfixs_bears_no_level() -> None:
    assert "warning" not in written("removed", {"queue_id": QUEUE_ID}, "warning")


def test_lost_lines_are_told() -> None:
    lines = written("removed", {"queue_id": QUEUE_ID, "dropped": 7}).splitlines()
    assert [line.partition("]: ")[2] for line in lines] == [
        "warning: log_lost lines=7",
        f"{QUEUE_ID}: removed",
    ]


def test_the_first_line_of_a_process_tells_its_generation() -> None:
    form = ClassicForm("mx.test", PROGRAMS)

    def texts(pid: int, generation: int) -> list[str]:
        record: Record = {"service": "smtp", "pid": pid, "generation": generation, "event": "x"}
        return [line.partition("]: ")[2] for line in form(b"", record).decode().splitlines()]

    assert texts(71, 3) == ["generation=3", "x"]
    assert texts(71, 3) == ["x"]
    assert texts(72, 3) == ["generation=3", "x"]
    assert texts(71, 4) == ["generation=4", "x"]  # the number of a process that is gone
    for pid in range(100, 1200):
        texts(pid, 4)
    assert texts(71, 4) == ["generation=4", "x"]


@pytest.mark.parametrize("seconds", [None, "noon", -1.0, 1e300, float("inf"), float("nan"), True])
def test_a_time_that_is_none_is_the_present(seconds: Value) -> None:
    line = written("removed", {"queue_id": QUEUE_ID, "time": seconds})
    assert re.match(r"[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d mx\.test posthouse/smtpd\[71\]: ", line)


ANY_VALUE = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NAMES = st.sampled_from(
    ["queue_id", "client", "status", "to", "relay", "delay", "text", "sender", "kind", "report"]
)
EVENTS = st.sampled_from([event for event, _, _ in CASES]) | ANY_VALUE
RECORDS = st.dictionaries(NAMES | st.text(), ANY_VALUE)
HEADS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("time", "level", "service", "pid", "dropped"), ANY_VALUE)
)


@given(event=EVENTS, fields=RECORDS, head=HEADS)
def test_any_record_is_one_line(event: Value, fields: Record, head: Record) -> None:
    data = ClassicForm("mx.test", PROGRAMS)(b"", {**fields, **head, "event": event})
    lines = data.decode().split("\n")
    assert len(lines) == (3 if head.get("dropped") else 2)
    assert lines[-1] == ""
    assert all(line.isprintable() for line in lines)
    assert all(re.match(r"[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d mx\.test ", x) for x in lines[:-1])


@pytest.mark.parametrize("name", ["helo", "recipient", "sender", "status", "command"])
def test_no_client_can_write_a_line_of_its_own(name: str) -> None:
    forged = "x\nNov  4 12:00:07 mx.test posthouse/smtpd[71]: connect from unknown[192.0.2.9]"
    fields: Record = {
        "client": CLIENT,
        "protocol": "SMTP",
        "helo": "",
        "command": "FOO",
        "sender": "",
        "recipient": "",
        "status": "500 5.5.2 no",
        "reason": "",
        name: forged,
    }
    (line,) = written("reject", fields).splitlines()
    assert r"x\nNov  4" in line
