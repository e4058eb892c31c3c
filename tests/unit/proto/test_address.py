"""Addresses: the table of forms, and that the canonical form is a fixed point."""

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.proto.address import Mailbox, parse, parse_path, to_ascii, to_unicode

ATEXT = string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~"

ANY = r"\w"  # each error has a text; test_reason has the texts

VALID = [
    # what is given, local part, domain, canonical form
    ("user@example.org", "user", "example.org", "user@example.org"),
    ("User@EXAMPLE.Org", "User", "example.org", "User@example.org"),
    ("a.b+c=d@x", "a.b+c=d", "x", "a.b+c=d@x"),
    ("!#$%&'*+-/=?^_`{|}~@x", "!#$%&'*+-/=?^_`{|}~", "x", "!#$%&'*+-/=?^_`{|}~@x"),
    ("host!user%far@x", "host!user%far", "x", "host!user%far@x"),
    ('"user"@x', "user", "x", "user@x"),
    (r'"na\me"@x', "name", "x", "name@x"),
    ('"a b"@x', "a b", "x", '"a b"@x'),
    (r'"a\"b\\c"@x', 'a"b\\c', "x", r'"a\"b\\c"@x'),
    ('"a..b"@x', "a..b", "x", '"a..b"@x'),
    ('"a@b"@x', "a@b", "x", '"a@b"@x'),
    ('">"@x', ">", "x", '">"@x'),
    ('""@x', "", "x", '""@x'),
    ("@a.test,@b.test:user@x", "user", "x", "user@x"),
    ("user@xn--bcher-kva.example", "user", "xn--bcher-kva.example", None),
    ("user@under_score.example", "user", "under_score.example", None),
    ("user@a--b.c-d", "user", "a--b.c-d", None),
    ("user@[127.0.0.1]", "user", "[127.0.0.1]", None),
    ("user@[ipv6:2001:DB8:0::1]", "user", "[IPv6:2001:db8::1]", "user@[IPv6:2001:db8::1]"),
    ("user", "user", "", "user"),
    ("u" * 64 + "@x", "u" * 64, "x", None),
    ("u@" + ".".join(["d" * 63] * 3), "u", ".".join(["d" * 63] * 3), None),
]

INVALID = [
    "",
    "@",
    "@x",
    "user@",
    "user@@x",
    "a@b@x",
    ".user@x",
    "user.@x",
    "us..er@x",
    "us er@x",
    " user@x",
    "user@x ",
    "user@x\n",
    "user@x.",
    "user@.x",
    "user@x..y",
    "user@-x",
    "user@x-",
    "user@x.-y",
    "user@x!y",
    '"user@x',
    'user"@x',
    '"us"er"@x',
    '"user\\"@x',
    '"us\ter"@x',
    '"us\\\ter"@x',
    "us\0er@x",
    "us\x7fer@x",
    "üser@x",
    "user@bücher.example",
    "(comment)user@x",
    "<user@x>",
    "user@[]",
    "user@[1.2.3]",
    "user@[1.2.3.256]",
    "user@[01.2.3.4]",
    "user@[IPv6:1.2.3.4]",
    "user@[IPv6:::1%eth0]",
    "user@[2001:db8::1]",
    "user@[tag:text]",
    "user@[127.0.0.1",
    "user@127.0.0.1]",
    "@a.test:",
    "@a.test:@x",
    "@a.test,user@x",
    "u" * 65 + "@x",
    "u@" + "d" * 64 + ".x",
    "u@" + ".".join(["d" * 63] * 4) + ".x",
]


@pytest.mark.parametrize(("text", "local", "domain", "canonical"), VALID)
def test_valid(text: str, local: str, domain: str, canonical: str | None) -> None:
    mailbox = parse(text)
    assert mailbox == Mailbox(local, domain)
    assert str(mailbox) == (canonical or text)


@pytest.mark.parametrize("text", INVALID)
def test_invalid(text: str) -> None:
    with pytest.raises(ValueError, match=ANY):
        parse(text)
    with pytest.raises(ValueError, match=ANY):
        parse_path(f"<{text}>" if text else "<")


@pytest.mark.parametrize(
    ("text", "mailbox", "rest"),
    [
        ("<>", None, ""),
        ("<> SIZE=10", None, " SIZE=10"),
        ("<user@x>", Mailbox("user", "x"), ""),
        ("<user@X> BODY=8BITMIME", Mailbox("user", "x"), " BODY=8BITMIME"),
        ("<postmaster>", Mailbox("postmaster", ""), ""),
        ("<PostMaster> X", Mailbox("PostMaster", ""), " X"),
        ('<">"@x> <tail>', Mailbox(">", "x"), " <tail>"),
        ("<@a.test:user@x>", Mailbox("user", "x"), ""),
    ],
)
def test_path(text: str, mailbox: Mailbox | None, rest: str) -> None:
    assert parse_path(text) == (mailbox, rest)


@pytest.mark.parametrize(
    "text",
    ["", "user@x", " <user@x>", "<user@x", "<user>", "< >", "<@a.test:>", "<user@x >", "<<a@x>>"],
)
def test_not_a_path(text: str) -> None:
    with pytest.raises(ValueError, match=ANY):
        parse_path(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("üser@x", "SMTPUTF8"),
        ("us\rer@x", "control character"),
        ("user x", "RFC 5321"),
        ("u" * 65 + "@x", "64 octets"),
        ("u@[tag:x]", "unknown kind: tag"),
    ],
)
def test_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_path_limit() -> None:
    """256 octets, brackets included (RFC 5321, 4.5.3.1.3)."""
    domain = ".".join(["d" * 63] * 2 + ["d" * 62])
    longest = f"<@relay:{'u' * 56}@{domain}>"
    assert len(longest) == 256
    assert parse_path(longest + " SIZE=1")[1] == " SIZE=1"
    with pytest.raises(ValueError, match="256"):
        parse_path(longest.replace("relay", "relays"))


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
labels = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,20}[A-Za-z0-9_])?", fullmatch=True)
domains = st.lists(labels, min_size=1, max_size=4).map(".".join)
literals = st.one_of(
    st.ip_addresses(v=4).map(lambda address: f"[{address}]"),
    st.ip_addresses(v=6).map(lambda address: f"[IPv6:{address}]"),
)


@given(printable, st.one_of(domains, literals))
def test_parse_print_parse(local: str, domain: str) -> None:
    quoted = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    mailbox = parse(f"{quoted}@{domain}")
    assert mailbox.local == local
    assert mailbox.domain == (domain if domain.startswith("[") else domain.lower())
    assert parse(str(mailbox)) == mailbox
    assert len(str(mailbox)) <= len(quoted) + 1 + len(domain)
    assert parse_path(f"<{mailbox}> rest") == (mailbox, " rest")


@given(st.text(ATEXT + '."\\@<>[]: \t\xfc', max_size=40))
def test_any_text_parses_to_its_fixed_point_or_not_at_all(text: str) -> None:
    try:
        mailbox = parse(text)
    except ValueError:
        return
    assert parse(str(mailbox)) == mailbox


@pytest.mark.parametrize(
    "text",
    [
        "<" + "a." * 4000,
        "<" + "a-" * 4000 + "@x>",
        "<@" + "a." * 4000,
        "<" + "@a," * 4000,
        '<"' + "\\a" * 4000,
        "<a@" + "b-" * 4000,
    ],
)
def test_hostile_text_costs_no_time(text: str) -> None:
    start = time.perf_counter()
    for _ in range(20):
        with pytest.raises(ValueError, match=ANY):
            parse_path(text)
    assert time.perf_counter() - start < 0.5


# What is not ASCII (RFC 6531, 3.3), where it may be so.


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("üser@x", "üser", "x"),
        ("user@bücher.example", "user", "xn--bcher-kva.example"),
        ("user@BÜCHER.Example", "user", "xn--bcher-kva.example"),
        ("user@faß.example", "user", "xn--fa-hia.example"),
        (
            "\u7528\u6237@\u4f8b\u3048\u3002\u30c6\u30b9\u30c8",
            "\u7528\u6237",
            "xn--r8jz45g.xn--zckzah",
        ),
        ('"ü b"@x', "ü b", "x"),
        ("@ä.test:ü@x", "ü", "x"),
        ("ü@[127.0.0.1]", "ü", "[127.0.0.1]"),
        ("ü", "ü", ""),
        ("user@xn--bcher-kva.example", "user", "xn--bcher-kva.example"),
        ("user@EXAMPLE.org", "user", "example.org"),
    ],
)
def test_utf8(text: str, local: str, domain: str) -> None:
    assert parse(text, utf8=True) == Mailbox(local, domain)


@pytest.mark.parametrize(
    "text",
    [
        "ü@-x",
        "ü@x..y",
        "user@\u2603.example",  # a symbol: IDNA2008 allows letters alone
        "user@a\uff20b.example",  # which the mapping would make an at sign
        "user@ü\uff3f.example-",
        "user@[ü]",
        "ü\x85@x",
        "ü\ud800@x",
        "ü b@x",
        "ü" * 33 + "@x",
        "user@" + "ü" * 70,
        "user@" + "ü" * 200,
    ],
)
def test_no_address_even_so(text: str) -> None:
    with pytest.raises(ValueError, match=ANY):
        parse(text, utf8=True)


@given(st.text(ATEXT + '."\\@<>[]: \t\xfc\u7528\u3002\uff20\xdf', max_size=40))
def test_utf8_parses_to_its_fixed_point_or_not_at_all(text: str) -> None:
    try:
        mailbox = parse(text, utf8=True)
    except ValueError:
        return
    assert mailbox.domain.isascii()
    assert parse(str(mailbox), utf8=True) == mailbox


@pytest.mark.parametrize(
    ("ascii_form", "unicode_form"),
    [
        ("xn--bcher-kva.example", "bücher.example"),
        ("xn--r8jz45g.xn--zckzah", "\u4f8b\u3048.\u30c6\u30b9\u30c8"),
        ("example.org", "example.org"),
    ],
)
def test_domains_go_there_and_back(ascii_form: str, unicode_form: str) -> None:
    assert to_unicode(ascii_form) == unicode_form
    assert to_ascii(unicode_form) == ascii_form


def test_what_is_no_a_label_stays_for_people_what_it_is() -> None:
    assert to_unicode("xn--a-ecp!.XN--BCHER-KVA.test") == "xn--a-ecp!.bücher.test"
