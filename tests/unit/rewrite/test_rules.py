"""What tables make of addresses, case by case; system tests put many of them to Postfix as well."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.address_rules import AddressRules

from mta.proto import address
from mta.proto.status import MailError

Parameters = dict[str, Any]


def inline(*entries: str) -> list[str]:
    """One table of entries KEY = VALUE."""
    return ["inline:{ " + ", ".join(f"{{{entry}}}" for entry in entries) + " }"]


PLUS: Parameters = {"recipient_delimiter": "+"}
OWN: Parameters = {"mydestination": ["here.test"], "local_transport": "lmtp:unix:/run/lmtp"}

CANONICAL: list[tuple[Parameters, str, str]] = [
    # tables, address, what becomes of it
    ({}, "a@b.test", "a@b.test"),
    ({}, "User@B.Test", "User@b.test"),
    ({}, "@relay.test,@other.test:a@b.test", "a@b.test"),
    ({}, "user", "user@posthouse.test"),
    ({"myorigin": "site.test"}, "user", "user@site.test"),
    ({"myorigin": "site.test"}, "postmaster", "postmaster@posthouse.test"),
    ({"append_dot_mydomain": True, "mydomain": "d.test"}, "a@host", "a@host.d.test"),
    ({"append_dot_mydomain": True, "mydomain": "d.test"}, "a@[192.0.2.1]", "a@[192.0.2.1]"),
    ({"append_dot_mydomain": True}, "a@host", "a@host.posthouse.test"),
    ({"canonical_maps": inline("a@b.test = c@d.test")}, "A@B.test", "c@d.test"),
    ({"canonical_maps": inline("a@b.test = c")}, "a@b.test", "c@posthouse.test"),
    ({"canonical_maps": inline("@b.test = @d.test")}, "a@b.test", "a@d.test"),
    ({"canonical_maps": inline("@b.test = c@d.test")}, "a@b.test", "c@d.test"),
    ({"canonical_maps": inline("a = c@d.test")}, "a@posthouse.test", "c@d.test"),
    ({"canonical_maps": inline("a = c@d.test")}, "a@elsewhere.test", "a@elsewhere.test"),
    (OWN | {"canonical_maps": inline("a = c@d.test")}, "a@here.test", "c@d.test"),
    ({"canonical_maps": inline("a@b.test = c@d.test")}, "a+x@b.test", "a+x@b.test"),
    (PLUS | {"canonical_maps": inline("a@b.test = c@d.test")}, "a+x@b.test", "c+x@d.test"),
    (PLUS | {"canonical_maps": inline("a+x@b.test = c@d.test")}, "a+x@b.test", "c@d.test"),
    (PLUS | {"canonical_maps": inline("@b.test = c@d.test")}, "a+x@b.test", "c@d.test"),
    # In their order; what comes out is looked up again, and may be what was looked up.
    (
        {"canonical_maps": inline("a@b.test = 1@d.test", "2@d.test = 3@d.test")}
        | {"sender_canonical_maps": inline("a@b.test = 2@d.test")},
        "a@b.test",
        "3@d.test",
    ),
    (
        {"canonical_maps": inline("a@b.test = c@b.test", "c@b.test = d@b.test")},
        "a@b.test",
        "d@b.test",
    ),
    ({"canonical_maps": inline("@b.test = a@b.test")}, "x@b.test", "a@b.test"),
    (
        {"canonical_maps": [*inline("x@x.test = y@y.test"), *inline("a@b.test = c@d.test")]},
        "a@b.test",
        "c@d.test",
    ),
    ({"canonical_maps": inline('"a b"@b.test = c@d.test')}, '"a b"@b.test', "c@d.test"),
    ({"canonical_maps": inline("a@b.test = \u00fc@d.test")}, "x@b.test", "x@b.test"),
    (
        {"canonical_maps": inline("a@b.test = c@b\u00fccher.test")},
        "a@b.test",
        "c@xn--bcher-kva.test",
    ),
    ({"masquerade_domains": ["b.test"]}, "a@x.y.b.test", "a@b.test"),
    ({"masquerade_domains": ["b.test"]}, "a@b.test", "a@b.test"),
    ({"masquerade_domains": ["b.test"]}, "a@xb.test", "a@xb.test"),
    ({"masquerade_domains": ["!x.b.test", "b.test"]}, "a@y.x.b.test", "a@y.x.b.test"),
    (
        {"masquerade_domains": ["b.test"], "masquerade_exceptions": ["Root"]},
        "rOOt@x.b.test",
        "rOOt@x.b.test",
    ),
]


@pytest.mark.parametrize(("parameters", "given_address", "expected"), CANONICAL)
def test_canonical_forms(parameters: Parameters, given_address: str, expected: str) -> None:
    assert AddressRules(parameters).rewrite(given_address) == expected


GENERIC: list[tuple[Parameters, str, str]] = [
    ({"smtp_generic_maps": inline("a@b.test = c@d.test")}, "a@b.test", "c@d.test"),
    (
        {"smtp_generic_maps": inline("a@b.test = c@d.test", "c@d.test = x@y.test")},
        "a@b.test",
        "c@d.test",
    ),
    ({"smtp_generic_maps": inline("@b.test = c@d.test")}, "a@b.test", "c@d.test"),
    ({"canonical_maps": inline("a@b.test = c@d.test")}, "a@b.test", "a@b.test"),
    (PLUS | {"smtp_generic_maps": inline("a@b.test = c@d.test")}, "a+x@b.test", "c@d.test"),
    (
        PLUS
        | {"smtp_generic_maps": inline("a@b.test = c@d.test")}
        | {"propagate_unmatched_extensions": ["generic"]},
        "a+x@b.test",
        "c+x@d.test",
    ),
]


@pytest.mark.parametrize(("parameters", "given_address", "expected"), GENERIC)
def test_generic_forms(parameters: Parameters, given_address: str, expected: str) -> None:
    assert AddressRules(parameters).rewrite(given_address, "generic") == expected


ALIASES: list[tuple[list[str], str, list[str]]] = [
    (["a@b.test = c@d.test"], "a@b.test", ["c@d.test"]),
    (["a@b.test = c@d.test, e@f.test g@h.test"], "a@b.test", ["c@d.test", "e@f.test", "g@h.test"]),
    (["a@b.test = c@d.test, C@d.test, c@D.test"], "a@b.test", ["c@d.test"]),
    (["a@b.test = a@b.test, c@d.test"], "a@b.test", ["a@b.test", "c@d.test"]),
    (["@b.test = @b.test"], "a@b.test", ["a@b.test"]),
    (["@b.test = c@b.test"], "a@b.test", ["c@b.test"]),
    (
        ["a@b.test = c@d.test", "c@d.test = e@f.test, a@x.test"],
        "a@b.test",
        ["e@f.test", "a@x.test"],
    ),
    (['a@b.test = "x, y"@d.test'], "a@b.test", ['"x, y"@d.test']),
    (["a@b.test = <c@d.test>"], "a@b.test", ["c@d.test"]),
    (["postmaster = a@d.test"], "postmaster", ["a@d.test"]),
]


@pytest.mark.parametrize(("entries", "given_address", "expected"), ALIASES)
def test_aliases(entries: list[str], given_address: str, expected: list[str]) -> None:
    assert AddressRules({"virtual_alias_maps": inline(*entries)}).expand(given_address) == expected


def test_aliases_without_end() -> None:
    rules = AddressRules(
        {"virtual_alias_maps": inline("a@b.test = c@b.test", "c@b.test = a@b.test")}
    )
    with pytest.raises(MailError, match=r"a@b\.test: unreasonable nesting") as caught:
        rules.expand("a@b.test")
    assert str(caught.value.status) == "451 4.6.0 Alias expansion error"


LONG = 100_000


@pytest.fixture
def long_list(tmp_path: Path) -> str:
    """A table with an entry of as many addresses as a value may hold."""
    members = ", ".join(f"{number}@d" for number in range(4_000))
    aliases = tmp_path / "aliases"
    lines = [f"all@b.test  {', '.join(f'{n}@list.test' for n in range(26))}"]
    lines += [f"{n}@list.test  {members.replace('@', f'@{n}')}" for n in range(26)]
    aliases.write_text("\n".join(lines) + "\n")
    return f"texthash:{aliases}"


def test_a_hundred_thousand_recipients_of_one(long_list: str) -> None:
    """In frames of what one holds, and every one of them, as far as the limit lets them."""
    given_limits = {"virtual_alias_maps": [long_list], "virtual_alias_expansion_limit": LONG}
    assert len(AddressRules(given_limits).expand("0@list.test")) == 4_000
    with pytest.raises(MailError, match="more than 100000 addresses"):
        AddressRules(given_limits).expand("all@b.test")
    with pytest.raises(MailError, match="more than 1000 addresses"):
        AddressRules({"virtual_alias_maps": [long_list]}).expand("0@list.test")


LISTS = ("local_recipient_maps", "relay_recipient_maps", "virtual_mailbox_maps")
HOUSE: Parameters = {
    **OWN,
    "mydestination": ["here.test", "posthouse.test"],
    "virtual_alias_domains": ["alias.test"],
    "virtual_mailbox_domains": ["boxes.test"],
    "relay_domains": ["relay.test"],
    "relayhost": "[out.test]",
    "virtual_alias_maps": inline("a@alias.test = b@far.test", "also@relay.test = x@far.test"),
    **{name: inline("known = x", "k@relay.test = x", "@boxes.test = x") for name in LISTS},
    "relocated_maps": inline("gone@relay.test = new@far.test", "gone@far.test = x"),
    "transport_maps": inline(
        "far.test = :[hop.test]:26",
        ".far.test = slow:",
        "a@far.test = slow:[a.test]",
        "no.test = error:5.7.1 closed",
        "later.test = retry:4.3.2 soon",
        "same.test = :",
    ),
    "sender_dependent_relayhost_maps": inline(
        "s@x.test = [by.test]", "t@x.test = DUNNO", "<> = [null.test]"
    ),
}
ROUTES = [
    # recipient, sender, class, transport, nexthop
    ("u@here.test", "", "local", "lmtp", "unix:/run/lmtp"),
    ("u@alias.test", "", "alias", "error", "5.1.1 User unknown in virtual alias table"),
    ("u@boxes.test", "", "virtual", "virtual", "boxes.test"),
    ("u@relay.test", "q@x.test", "relay", "outbound", "[out.test]"),
    ("u@other.test", "q@x.test", "default", "outbound", "[out.test]"),
    ("u@other.test", "s@x.test", "default", "outbound", "[by.test]"),
    ("u@relay.test", "s@x.test", "relay", "outbound", "[by.test]"),
    ("u@other.test", "t@x.test", "default", "outbound", "[out.test]"),
    ("u@other.test", "", "default", "outbound", "[null.test]"),
    ("u@far.test", "q@x.test", "default", "outbound", "[hop.test]:26"),
    ("a@far.test", "q@x.test", "default", "slow", "[a.test]"),
    ("u@x.y.far.test", "q@x.test", "default", "slow", "x.y.far.test"),
    ("u@same.test", "q@x.test", "default", "outbound", "[out.test]"),
    ("gone@far.test", "q@x.test", "default", "error", "5.1.6 User has moved to x"),
]


@pytest.mark.parametrize(("recipient", "sender", "domain_class", "transport", "nexthop"), ROUTES)
def test_routes(
    recipient: str, sender: str, domain_class: str, transport: str, nexthop: str
) -> None:
    found = AddressRules(HOUSE).route(recipient, sender=sender)
    assert found == (domain_class, transport, nexthop)


REFUSALS = [
    ("known@here.test", ""),
    ("unknown@here.test", "550 5.1.1 User unknown in local recipient table"),
    ("mailer-daemon@here.test", ""),
    ("postmaster@here.test", ""),
    ("postmaster@posthouse.test", ""),
    ("k@relay.test", ""),
    ("known@relay.test", "550 5.1.1 User unknown in relay recipient table"),
    ("postmaster@relay.test", "550 5.1.1 User unknown in relay recipient table"),
    ("also@relay.test", ""),
    ("any@boxes.test", ""),
    ("a@alias.test", ""),
    ("b@alias.test", "550 5.1.1 User unknown in virtual alias table"),
    ("gone@relay.test", "550 5.1.6 User has moved to new@far.test"),
    ("u@no.test", "550 5.7.1 closed"),
    ("u@later.test", "450 4.3.2 soon"),
    ("u@other.test", ""),
]


@pytest.mark.parametrize(("recipient", "expected"), REFUSALS)
def test_recipients_that_exist(recipient: str, expected: str) -> None:
    assert AddressRules(HOUSE).refusal(recipient) == expected


MAPS = ("canonical_maps", "virtual_alias_maps", "smtp_generic_maps", "relocated_maps")


@pytest.mark.parametrize("parameter", ["canonical_maps", "sender_bcc_maps"])
@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("cdb:/nonexistent/table", "cdb:/nonexistent/table"),
        ("texthash:/", "texthash:/"),
        ("inline:{ {a@b.test = an@address@} }", "the value of 'a@b.test'"),
        ("inline:{ {a@b.test = " + "x" * 65 + "@d.test} }", "the value of 'a@b.test'"),
        ("inline:{ {a@b.test = \u00fc@d.test} }", "the value of 'a@b.test'"),
        ("static:{,}", "no address"),
    ],
)
def test_a_table_that_gives_no_sound_answer(parameter: str, table: str, reason: str) -> None:
    """It is a failure that will pass, and never an address that stays as it is."""
    with pytest.raises(MailError) as caught:
        AddressRules({parameter: [table]}).rewrite("a@b.test")
    assert str(caught.value.status) == "451 4.3.0 Temporary lookup failure"
    assert caught.value.reason.startswith(f"{parameter}: ")
    assert reason in caught.value.reason


@pytest.mark.parametrize("parameter", ["transport_maps", "relocated_maps", *LISTS[:1]])
def test_no_route_without_the_tables(parameter: str) -> None:
    rules = AddressRules(OWN | {parameter: ["cdb:/nonexistent/table"]})
    with pytest.raises(MailError) as caught:
        rules.resolve("a@here.test", listed=True)
    assert caught.value.status.code == 451


VALUES = st.one_of(
    st.sampled_from(["a", "@", "@b.test", "a@b.test", "c@b.test", "<a@b.test>", '"', "a,b", "."]),
    st.text(st.characters(codec="utf-8", exclude_characters="{}\0"), min_size=1, max_size=8),
)
LOCAL = st.sampled_from(["a", "c", "a+x", "postmaster", '"a b"', "%", "a%b.test", "owner-a", "+"])


@given(
    entries=st.dictionaries(
        st.sampled_from(["a@b.test", "c@b.test", "a", "@b.test", "b.test", ".test", "*", "<>"]),
        st.lists(VALUES, min_size=1, max_size=3).map(", ".join),
    ),
    local=LOCAL,
    domain=st.sampled_from(["b.test", "x.b.test", "posthouse.test", "[192.0.2.1]"]),
)
def test_whatever_tables_hold(entries: dict[str, str], local: str, domain: str) -> None:
    """An answer that is sound, or a failure that will pass; and what comes out is an address."""
    sound = {key: value.strip() for key, value in entries.items() if value.strip()}
    if not sound:
        return
    table = inline(*(f"{key} = {value}" for key, value in sound.items()))
    names = (*MAPS, "transport_maps", "sender_dependent_relayhost_maps", "recipient_bcc_maps")
    text = f"{local}@{domain}"
    try:
        rules = AddressRules({"recipient_delimiter": "+", **dict.fromkeys(names, table)})
    except ValueError:
        return  # no name of a table: the check says so
    codes: set[int] = set()
    for ask in (rules.expand, rules.rewrite, rules.recipient_copy, rules.resolve):
        try:
            found = ask(text)
        except MailError as error:
            codes.add(error.status.code)
            continue
        if isinstance(found, list):
            assert found == [str(address.parse(each)) for each in found]
            assert len({each.lower() for each in found}) == len(found)
    assert codes <= {451}
