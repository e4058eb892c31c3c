"""The command line of sendmail means what it means to Postfix's, and nothing crashes it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.submission.options import Mode, Options, UsageError, parse_options


def parse(*words: str, name: str = "sendmail") -> Options:
    return parse_options(name, words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", {"mode": Mode.SEND, "sender": None, "extract": False, "dot_ends": True}),
        ("bob", {"operands": ("bob",)}),
        ("-t", {"extract": True}),
        ("-t bob", {"extract": True, "operands": ("bob",)}),
        ("-ti", {"extract": True, "dot_ends": False}),
        ("-i -f alice bob", {"dot_ends": False, "sender": "alice", "operands": ("bob",)}),
        ("-oi -falice@x.test bob", {"dot_ends": False, "sender": "alice@x.test"}),
        ("-r alice bob", {"sender": "alice"}),
        ("-FCronDaemon -odi -oem root", {"full_name": "CronDaemon", "operands": ("root",)}),
        ("-FCronDaemon -i -B8BITMIME -oem root", {"body_8bit": True, "operands": ("root",)}),
        ("-B 7BIT bob", {"body_8bit": False}),
        ("-oem -oi -f a@b -- bob carol", {"sender": "a@b", "operands": ("bob", "carol")}),
        ("-- -t", {"extract": False, "operands": ("-t",)}),
        ("bob -t", {"extract": False, "operands": ("bob", "-t")}),
        ("- bob", {"operands": ("-", "bob")}),
        ("-Am -em -G -U -n -m -v -h 7 -L x -p ESMTP -O a=b -X /dev/null -d0.1 -o7 bob", {}),
        ("-N never -R hdrs -V id bob", {"operands": ("bob",)}),
        ("-Nsuccess,delay,failure -Rfull bob", {"operands": ("bob",)}),
        ("-C /etc/x bob", {"config": "/etc/x"}),
        ("-bm bob", {"mode": Mode.SEND}),
        ("-bp", {"mode": Mode.LIST}),
        ("-bs", {"mode": Mode.SMTP}),
        ("-bv bob", {"mode": Mode.VERIFY, "operands": ("bob",)}),
        ("-bi", {"mode": Mode.ALIASES}),
        ("-I", {"mode": Mode.ALIASES}),
        ("-bi -oA/etc/other", {"mode": Mode.ALIASES, "alias_database": "/etc/other"}),
        ("-bd -q30m", {"mode": Mode.START}),
        ("-bl", {"mode": Mode.START}),
        ("-bh", {"mode": Mode.NOTHING}),
        ("-bH", {"mode": Mode.NOTHING}),
        ("-q", {"mode": Mode.FLUSH, "queue_id": "", "site": ""}),
        ("-q15m bob", {"mode": Mode.SEND}),
        ("-qIabc", {"mode": Mode.FLUSH, "queue_id": "abc"}),
        ("-qRexample.org", {"mode": Mode.FLUSH, "site": "example.org"}),
    ],
)
def test_a_command_line_means_what_it_means_to_postfix(
    words: str, expected: dict[str, Any]
) -> None:
    options = parse(*words.split())
    assert {name: getattr(options, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "mode"),
    [("mailq", Mode.LIST), ("newaliases", Mode.ALIASES), ("sendmail", Mode.SEND)],
)
def test_the_programs_name_says_what_to_do(name: str, mode: Mode) -> None:
    assert parse(name=name).mode is mode


def test_the_null_sender_is_one() -> None:
    assert parse("-f", "", "bob").sender == ""


@pytest.mark.parametrize(
    "words",
    [
        "-bt", "-bz", "-b", "-bsx", "-z", "-qS", "-qI", "-qSsite", "-XV", "-XV+=", "-B", "-B9BIT",
        "-Nsometimes", "-Rall", "-f", "-t -bs", "-t -bp", "-oi -k",
        "-bp bob", "-bi -oA /etc/aliases", "-bs bob", "-q bob", "-bd bob",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said(words: str) -> None:
    with pytest.raises(UsageError):
        parse(*words.split())


@given(
    st.lists(st.one_of(st.text(max_size=6), st.text("-bqfoABNRXVtiIrF m", max_size=6)), max_size=6)
)
def test_no_command_line_does_worse(words: list[str]) -> None:
    try:
        options = parse(*words)
    except UsageError:
        return
    assert options.operands == tuple(words[len(words) - len(options.operands) :])
