"""Address fields: the table of forms, and that nothing changes but what is replaced."""

import email.headerregistry
import email.policy
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.proto.address import Mailbox
from mta.proto.addresslist import TOKENS_LIMIT, find_addresses, fold, replace_addresses

FORMS = [
    # a field's value, and what is found there: the octets, and the address that they are
    ("a@b", [("a@b", "a@b")]),
    ("A@B", [("A@B", "A@b")]),
    ("user", [("user", "user")]),
    ("a@b, c@d", [("a@b", "a@b"), ("c@d", "c@d")]),
    ("Doe <a@b>", [("a@b", "a@b")]),
    ("John Q. Public <a@b>", [("a@b", "a@b")]),
    ('"Doe, John" <a@b>', [("a@b", "a@b")]),
    ('"a \\" <x@y>, " <a@b>', [("a@b", "a@b")]),
    ("=?utf-8?q?D=C3=B6?= <a@b>", [("a@b", "a@b")]),
    ("a@b <c@d>", [("c@d", "c@d")]),
    ("a@b (Doe, x@y)", [("a@b", "a@b")]),
    ("(a (b (c)) \\) d) a@b", [("a@b", "a@b")]),
    ("pete(his account)@silly.test(host)", [("pete(his account)@silly.test", "pete@silly.test")]),
    ("a @ b . c", [("a @ b . c", "a@b.c")]),
    ("x <a@b (c)>", [("a@b", "a@b")]),
    ('"user"@b', [('"user"@b', "user@b")]),
    ('"a b"@c', [('"a b"@c', '"a b"@c')]),
    ('"a b".c@d', [('"a b".c@d', '"a b.c"@d')]),
    ('"John Doe"', [('"John Doe"', '"John Doe"')]),
    ("a@[192.0.2.1]", [("a@[192.0.2.1]", "a@[192.0.2.1]")]),
    ("a@[ IPv6:2001:DB8::1 ]", [("a@[ IPv6:2001:DB8::1 ]", "a@[IPv6:2001:db8::1]")]),
    ("<@a,@b:c@d>, e@f", [("@a,@b:c@d", "c@d"), ("e@f", "e@f")]),
    ("<,@a,,@b:c@d>", [(",@a,,@b:c@d", "c@d")]),
    (", a@b,, c@d,", [("a@b", "a@b"), ("c@d", "c@d")]),
    ("g: a@b, C <c@d>;, e@f", [("a@b", "a@b"), ("c@d", "c@d"), ("e@f", "e@f")]),
    ("undisclosed-recipients:;", []),
    ("<>", []),
    ("", []),
    ("\r\n\ta@b,\r\n c@d", [("a@b", "a@b"), ("c@d", "c@d")]),
    ("\u00fc@b\u00fccher.test", [("\u00fc@b\u00fccher.test", "\u00fc@xn--bcher-kva.test")]),
    # Malformed: the sound ones are found.
    ("John Doe, a@b", [("a@b", "a@b")]),
    ("a@b c@d, e@f", [("e@f", "e@f")]),
    ("<a@b, c@d", [("c@d", "c@d")]),
    ("a <b@c> d, e@f", [("e@f", "e@f")]),
    ("<<a@b>>, c@d", [("c@d", "c@d")]),
    ("a@b; c@d", [("a@b", "a@b"), ("c@d", "c@d")]),
    ("a..b@c, .d@e, f@-g, h@i", [("h@i", "h@i")]),
    ('a@b, "c, d@e', [("a@b", "a@b")]),
    ("a@b, (c, d@e", [("a@b", "a@b")]),
    ("a@b, c@[d, e@f", [("a@b", "a@b")]),
    ("a@b, c\\@d, e@f", [("a@b", "a@b")]),
    ("a@b, c\0@d, e@f", [("a@b", "a@b")]),
    ("(" * 51 + ")" * 51 + "a@b", []),
    ("(" * 50 + ")" * 50 + "a@b", [("a@b", "a@b")]),
]


@pytest.mark.parametrize(("text", "found"), FORMS, ids=range(len(FORMS)))
def test_forms(text: str, found: list[tuple[str, str]]) -> None:
    value = text.encode()
    spans = list(find_addresses(value))
    assert [(value[it.start : it.end].decode(), it.address) for it in spans] == found


def test_octets_that_are_no_utf8_are_no_address() -> None:
    assert [it.address for it in find_addresses(b"\xff@a, b\xff <c@d>")] == ["c@d"]


ATEXT = string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~"
atoms = st.text(ATEXT, min_size=1, max_size=8)
white = st.sampled_from(["", " ", "\t", "\r\n ", " (c) ", "(\\) (,<x@y>))"])
quoted = st.text(ATEXT + " ,.;:@<>()", max_size=8).map('"{}"'.format)
locals_ = st.one_of(st.lists(atoms, min_size=1, max_size=3).map(".".join), quoted)
domains = st.one_of(
    st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), min_size=1, max_size=3).map(".".join),
    st.ip_addresses(v=4).map("[{}]".format),
)
addresses = st.tuples(locals_, domains).map("@".join)
phrases = st.lists(st.one_of(atoms, quoted, st.just("=?utf-8?b?w7w=?=")), max_size=3).map(" ".join)
routes = st.sampled_from(["", "@a:", "@a,@b:"])


@st.composite
def mailboxes(draw: st.DrawFn) -> tuple[str, str]:
    """The text of a mailbox, and its address."""
    address = draw(addresses)
    text = address
    if draw(st.booleans()):
        text = f"{draw(phrases)}{draw(white)}<{draw(routes)}{address}>"
    return f"{draw(white)}{text}{draw(white)}", address


@st.composite
def lists(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    """A field's value, and the addresses in it."""
    pieces, found = [], []
    for _ in range(draw(st.integers(0, 4))):
        members = draw(st.lists(mailboxes(), max_size=3))
        found += [address for _, address in members]
        text = ",".join(text for text, _ in members)
        pieces.append(f"{draw(atoms)}:{text};" if draw(st.booleans()) else text)
    return ",".join(pieces).encode(), found


def canonical(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return str(Mailbox(local.strip('"') if local.startswith('"') else local, domain))


@given(lists())
def test_every_address_is_found_and_nothing_replaced_changes_nothing(
    made: tuple[bytes, list[str]],
) -> None:
    value, expected = made
    assert [it.address for it in find_addresses(value)] == [canonical(each) for each in expected]
    assert replace_addresses(value, {}) == value


@given(lists())
def test_replaced_addresses_are_found_in_their_place(made: tuple[bytes, list[str]]) -> None:
    value, _ = made
    old = [it.address for it in find_addresses(value)]
    new = {each: f"user{number}@new.test" for number, each in enumerate(dict.fromkeys(old))}
    replaced = replace_addresses(value, new)
    assert [it.address for it in find_addresses(replaced)] == [new[each] for each in old]


@given(st.binary(max_size=60) | st.text('ab@,;:<>()[]"\\. \r\n', max_size=60).map(str.encode))
def test_any_octets_stay_what_they_are_outside_of_addresses(value: bytes) -> None:
    assert replace_addresses(value, {}) == value
    spans = list(find_addresses(value))
    ends = [0, *[edge for span in spans for edge in (span.start, span.end)], len(value)]
    assert ends == sorted(ends)


@given(lists())
def test_python_finds_the_same(made: tuple[bytes, list[str]]) -> None:
    """The standard library's parser, but for what it cannot read: it takes no route."""
    value, _ = made
    text = value.decode().replace("\r\n", "")
    ours = [it.address for it in find_addresses(text.encode())]
    if "<@" in text:
        return
    header = email.policy.default.header_factory("To", text)
    assert isinstance(header, email.headerregistry.AddressHeader)
    theirs = [str(Mailbox(it.username, it.domain.lower())) for it in header.addresses]
    assert ours == theirs


@pytest.mark.parametrize(
    "value",
    [b"(" * 200_000, b"<@a," * 50_000, b'"\\' * 100_000, b"a." * 100_000, b"((a))" * 20_000],
    ids=["comments", "routes", "quotes", "dots", "comments that end"],
)
def test_hostile_fields_cost_no_time(value: bytes) -> None:
    begun = time.process_time()
    assert not list(find_addresses(value))
    assert time.process_time() - begun < 2


def test_addresses_behind_the_limit_of_tokens_stay() -> None:
    found = list(find_addresses(b"a," * TOKENS_LIMIT))
    assert len(found) == TOKENS_LIMIT // 2


@pytest.mark.parametrize(
    ("field", "lines"),
    [
        (b"To: a@b,c@d", [b"To: a@b,c@d"]),
        (b"To: " + b"a@b," * 300, [b"To: " + b"a@b," * 248, b" " + b"a@b," * 52]),
        (b"To: " + b"a@b, " * 300, [b"To:" + b" a@b," * 199, b" a@b," * 101 + b" "]),
        (b"To: " + b"a" * 999 + b" <a@b>", [b"To: " + b"a" * 999, b" <a@b>"]),
        (b"To: a@b,\r\n\t" + b"c@d," * 250, [b"To: a@b,", b"\t" + b"c@d," * 249, b" c@d,"]),
    ],
    ids=range(5),
)
def test_fold(field: bytes, lines: list[bytes]) -> None:
    assert fold(field) == b"\r\n".join(lines)


@given(st.lists(mailboxes(), min_size=1, max_size=60))
def test_folded_fields_have_short_lines_and_the_same_addresses(
    made: list[tuple[str, str]],
) -> None:
    value = ",".join(text for text, _ in made).encode()
    folded = fold(b"To:" + value)
    assert max(map(len, folded.split(b"\r\n"))) <= 998
    before = [it.address for it in find_addresses(value)]
    assert [it.address for it in find_addresses(folded.removeprefix(b"To:"))] == before
