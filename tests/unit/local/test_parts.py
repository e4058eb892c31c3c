"""The parts of local that are tables: what a command's end means, and what $name stands for."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery.exit_status import outcome_of
from mta.ipc.messages import CommandEnded
from mta.util.substitution import safe, substitute

SUCCESS = "delivered to command: prog"
VALUES = {"user": "ann", "home": "/home/ann", "extension": "", "local": "a;b"}


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (0, b"", "250 2.0.0 delivered to command: prog"),
        (0, b"5.1.1 ignored", "250 2.0.0 delivered to command: prog"),
        (64, b"", "550 5.3.0 command line usage error"),
        (65, b"", "550 5.6.0 data format error"),
        (66, b"", "550 5.3.0 cannot open input"),
        (67, b"who?\n", "550 5.1.1 user unknown. Command output: who?"),
        (68, b"", "550 5.1.2 host name unknown"),
        (69, b"", "550 5.3.0 service unavailable"),
        (70, b"", "550 5.3.0 internal software error"),
        (71, b"", "450 4.3.0 system resource problem"),
        (72, b"", "550 5.3.0 critical OS file missing"),
        (73, b"", "550 5.2.0 can't create user output file"),
        (74, b"", "550 5.3.0 input/output error"),
        (75, b"", "450 4.3.0 temporary failure"),
        (76, b"", "550 5.5.0 remote error in protocol"),
        (77, b"", "550 5.7.0 permission denied"),
        (78, b"", "550 5.3.5 local configuration error"),
        (1, b"", '550 5.3.0 Command died with status 1: "prog"'),
        (
            127,
            b"sh: x\ty",
            '550 5.3.0 Command died with status 127: "prog". Command output: sh: x y',
        ),
        (1, b"4.2.2 over quota\n", "450 4.2.2 over quota"),
        (75, b"5.7.1 never", "550 5.7.1 never"),
        (1, b"5.7.1", "550 5.7.1 no reason given"),
        (1, b"2.0.0 fine", "550 5.0.0 fine"),
        (75, b"2.0.0 fine", "450 4.3.0 temporary failure. Command output: 2.0.0 fine"),
        (-signal.SIGKILL, b"", '450 4.3.0 Command died with signal 9: "prog"'),
    ],
)
def test_the_end_of_a_command(status: int, output: bytes, expected: str) -> None:
    assert str(outcome_of(CommandEnded(status, False, output), "prog", SUCCESS)) == expected


def test_a_command_that_takes_too_long() -> None:
    said = str(outcome_of(CommandEnded(-signal.SIGKILL, True, b""), "prog", SUCCESS))
    assert said == '550 5.3.0 Command time limit exceeded: "prog"'


@given(st.integers(-64, 255), st.booleans(), st.binary(max_size=8192), st.text(min_size=1))
def test_any_end_is_an_outcome(status: int, timed_out: bool, output: bytes, command: str) -> None:
    found = outcome_of(CommandEnded(status, timed_out, output), command, SUCCESS)
    assert found.text.isascii()
    assert len(found.text) <= 512
    assert found.enhanced[0] == str(found.code)[0]


@pytest.mark.parametrize(
    ("template", "text", "usable"),
    [
        ("$home/.forward", "/home/ann/.forward", True),
        ("${home}/.forward+$(user)", "/home/ann/.forward+ann", True),
        ("$home/.forward+$extension", "/home/ann/.forward+", False),
        ("x$nothing", "x", False),
        ("$local", "a_b", True),
        ("$$user", "$user", True),
        ("${user?yes}${extension?no}", "yes", True),
        ("${user:no}${extension:yes}", "yes", True),
        ("${extension?{x $user}:{y $user}}", "y ann", True),
        ("${user?{${home}}}", "/home/ann", True),
        ("", "", True),
    ],
)
def test_values_in_a_text(template: str, text: str, usable: bool) -> None:
    found = substitute(template, VALUES)
    assert (found.text, found.usable) == (text, usable)


@pytest.mark.parametrize(
    "template", ["$", "a $ b", "${", "${user", "${}", "${user!x}", "${user?{a}b}"]
)
def test_a_text_that_makes_no_sense(template: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        substitute(template, VALUES)


@given(st.text())
def test_nothing_of_a_value_means_anything_to_a_shell(value: str) -> None:
    assert not set(safe(value)) & set(" \t\n;&|<>()$`\\\"'*?[]#~^{}\0")
    assert len(safe(value)) == len(value)
