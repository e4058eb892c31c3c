"""The header of a message from this host: recipients are found, what is missing is added."""

import email
from email.header import decode_header, make_header

import pytest

from mta.submission.header import Header


def header(*lines: str) -> Header:
    return Header("".join(f"{line}\r\n" for line in lines).encode())


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("To: bob",), ["bob"]),
        (("To: Bob <bob@x.test>, carol@y.test (Carol)",), ["bob@x.test", "carol@y.test"]),
        (("To: a", "Cc: b", "Bcc: c", "From: d", "Reply-To: e"), ["a", "b", "c"]),
        (("TO : a,\r\n\tb,\r\n c",), ["a", "b", "c"]),
        (("To: friends: a, b;",), ["a", "b"]),
        (("To: a", "Resent-To: b", "Resent-Bcc: c"), ["b", "c"]),
        (("To: undisclosed-recipients:;",), []),
        (("X-To: a", "Subject: To: b"), []),
        ((), []),
    ],
)
def test_recipients(lines: tuple[str, ...], expected: list[str]) -> None:
    assert list(header(*lines).recipients()) == expected


def test_who_got_a_blind_copy_is_not_told() -> None:
    section = header("From: a", "Bcc: b,\r\n c", "To: d", "Resent-Bcc: e", "").completed("f", "F")
    assert section == b"From: a\r\nTo: d\r\n\r\n"


def test_what_would_mislead_goes() -> None:
    section = header("From: a", "Return-Path: <b>", "Content-Length: 7").completed("c", "")
    assert section == b"From: a\r\n"


@pytest.mark.parametrize(
    ("sender", "name", "expected"),
    [
        ("alice", "", "From: alice"),
        ("alice@x.test", "Alice A", "From: Alice A <alice@x.test>"),
        ("alice", "A. (x)", 'From: "A. (x)" <alice>'),
        ("alice", 'A "B" \\', 'From: "A \\"B\\" \\\\" <alice>'),
        ("alice", "A\r\nBcc: b", 'From: "A Bcc: b" <alice>'),
        ("", "Alice", "From: Mail Delivery System <MAILER-DAEMON>"),
    ],
)
def test_a_missing_from_is_added(sender: str, name: str, expected: str) -> None:
    section = header("Subject: x", "").completed(sender, name)
    assert section == f"{expected}\r\nSubject: x\r\n\r\n".encode()


@pytest.mark.parametrize("name", ["J\xfcrgen M\xfcller", "\u4e2d" * 100, "a\xfc" * 60])
def test_a_name_in_any_script_arrives(name: str) -> None:
    section = header("").completed("alice@x.test", name)
    assert section.isascii()
    assert max(map(len, section.split(b"\r\n"))) <= 78 + len("From: ")
    phrase, _, address = email.message_from_bytes(section)["From"].rpartition(" ")
    assert str(make_header(decode_header(phrase))) == name
    assert address == "<alice@x.test>"


def test_a_name_that_is_no_text_does_no_harm() -> None:
    section = header("").completed("alice", b"\xff\xfe".decode("utf-8", "surrogateescape"))
    assert section.startswith(b"From: =?UTF-8?B?")
