"""A message knows whether it is whole, whatever happens to its line ends and header."""

import random

from hypothesis import given
from hypothesis import strategies as st
from reliability.message import Seen, make_message, marks_reported, read_message
from reliability.torture.stages import STAGES, AtCall, classify


@given(st.integers(0, 20_000), st.integers())
def test_it_is_recognised(size: int, seed: int) -> None:
    message = make_message("m0-17", size, random.Random(seed))
    assert read_message(b"Received: from x\r\n" + message) == Seen("m0-17", whole=True)
    delivered = b"Return-Path: <x@y>\n" + message.replace(b"\r\n", b"\n")
    assert read_message(delivered) == Seen("m0-17", whole=True)


@given(st.integers(100, 5000), st.data())
def test_any_octet_that_is_missing_is_missed(size: int, data: st.DataObject) -> None:
    message = make_message("m", size, random.Random(size)).replace(b"\r\n", b"\n")
    body = message.index(b"\n\n") + 2
    cut = data.draw(st.integers(body, len(message) - 1))
    seen = read_message(message[:cut] + message[cut + 1 :])
    assert seen == Seen("m", whole=False)
    seen = read_message(message[:cut])
    assert seen == Seen("m", whole=False)


def test_another_message_is_none_of_ours() -> None:
    assert read_message(b"Subject: x\r\n\r\nbody\r\n") is None
    assert read_message(b"") is None


def test_a_report_tells_of_its_message() -> None:
    report = (
        b"Subject: Undelivered mail\nContent-Type: multipart/report; boundary=b\n\n--b\n\nSorry\n"
        b"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
        b"Final-Recipient: rfc822; never-m1-2@example.test\nAction: failed\n\n"
        b"--b\nContent-Type: text/rfc822-headers\n\nSubject: m1-2\nX-Proof: 1 2\n\n--b--\n"
    )
    assert read_message(report) is None
    assert list(marks_reported(report)) == [("m1-2", "never-m1-2@example.test")]
    assert list(marks_reported(report.replace(b"multipart/report", b"multipart/mixed"))) == []


def test_stages_are_told_by_the_call() -> None:
    assert str(classify("cleanup", 'openat(5</q>, "incoming/a/1a", O_WRONLY|O_CREAT) ')) == (
        "cleanup: creates a file"
    )
    assert classify("cleanup", 'openat(5</q>, "incoming/a", O_RDONLY|O_DIRECTORY)') is None
    assert classify("rewrite", "fsync(7</q/incoming/a/1a>)") is None
    assert len({str(stage) for stage in STAGES}) == len(STAGES)
    assert all(stage.most > 0 for stage in STAGES if isinstance(stage, AtCall))
