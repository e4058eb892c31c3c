"""What tables hold that their writer cannot have meant, or that no route can bear."""

from pathlib import Path
from typing import Any

import pytest
from support.address_rules import AddressRules

from mta.daemons.rewrite import mapping
from mta.ipc.messages import Expand, Expanded
from mta.proto.address import Mailbox
from mta.proto.status import MailError


def inline(*entries: str) -> list[str]:
    """One table of entries KEY = VALUE."""
    return ["inline:{ " + ", ".join(f"{{{entry}}}" for entry in entries) + " }"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Joe Doe <joe@d.test>", ["joe@d.test"]),
        ('"Doe, Joe" <joe@d.test>, ann@d.test', ["joe@d.test", "ann@d.test"]),
        ('"Joe <the> Doe" <joe@d.test>', ["joe@d.test"]),
        ("<joe@d.test> <ann@d.test>", ["joe@d.test", "ann@d.test"]),
        ("Joe <joe@d.test> Ann <ann@d.test>", ["joe@d.test", "ann@d.test"]),
        ('Joe <"a b>c"@d.test>', ['"a b>c"@d.test']),
        ("<@hop.test:joe@d.test>", ["joe@d.test"]),
        ("joe@d.test,, ,ann@d.test,", ["joe@d.test", "ann@d.test"]),
    ],
)
def test_a_name_before_an_address_is_no_recipient(value: str, expected: list[str]) -> None:
    """Mail for Joe Doe <joe@d.test> went to the users Joe and Doe as well."""
    rules = AddressRules({"virtual_alias_maps": inline(f"a@b.test = {value}")})
    assert rules.expand("a@b.test") == expected


@pytest.mark.parametrize("value", ['c@d.test, "e f@d.test', "Joe <joe@d.test", "joe@d.test>", "<>"])
def test_an_address_that_is_not_closed(value: str) -> None:
    """Half of it may be another's."""
    rules = AddressRules({"virtual_alias_maps": inline(f"a@b.test = {value}")})
    with pytest.raises(MailError) as caught:
        rules.expand("a@b.test")
    assert str(caught.value.status) == "451 4.3.0 Temporary lookup failure"
    assert caught.value.reason.startswith("virtual_alias_maps: the value of 'a@b.test' has ")


@pytest.mark.parametrize("parameter", ["transport_maps", "sender_dependent_relayhost_maps"])
@pytest.mark.parametrize("host", ["h" * 256, "a\tb", "b\u00fccher.test", "\x7f"])
def test_a_nexthop_that_no_route_can_bear(parameter: str, host: str) -> None:
    """Cut to what a message holds it would be another host; the client would not understand it."""
    value = f"slow:{host}" if parameter == "transport_maps" else f"{host}x"
    table = inline(f"b.test = {value}", f"s@b.test = {value}")
    with pytest.raises(MailError) as caught:
        AddressRules({parameter: table}).route("a@b.test", sender="s@b.test")
    assert str(caught.value.status) == "451 4.3.0 Temporary lookup failure"
    assert caught.value.reason.startswith(f"{parameter}: the value of ")
    assert len(caught.value.reason) < 400


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("the\tother place", "the other place"),
        ("Zo\u00eb at d.test", "Zo  at d.test"),
        ("p" * 400, "p" * (255 - len("5.1.6 User has moved to "))),
    ],
)
def test_a_place_that_a_reply_cannot_name(place: str, told: str) -> None:
    rules = AddressRules({"relocated_maps": inline(f"a@b.test = {place}")})
    assert rules.route("a@b.test")[2] == f"5.1.6 User has moved to {told}"
    assert rules.refusal("a@b.test") == f"550 5.1.6 User has moved to {told}"


@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        ("error", "550 5.1.1 undeliverable"),
        ("error:", "550 5.1.1 undeliverable"),
        ("retry:", "450 4.1.1 undeliverable"),
        ("error:5.7.1 no\u00ebl", "550 5.7.1 no l"),
    ],
)
def test_reasons_of_routes_that_lead_nowhere(value: str, refusal: str) -> None:
    """Without a reason, the domain was told for one."""
    assert AddressRules({"transport_maps": inline(f"b.test = {value}")}).refusal("a@b.test") == (
        refusal
    )


LIST = {"virtual_mailbox_maps": inline("known@boxes.test = x")}


@pytest.mark.parametrize(
    ("parameters", "recipient", "refusal", "transport"),
    [
        # RFC 5321, 4.5.1: whatever the tables say.
        ({"virtual_alias_domains": ["posthouse.test"]}, "postmaster", "", "outbound"),
        ({"relocated_maps": inline("@posthouse.test = x")}, "postmaster", "", "outbound"),
        (
            {"virtual_mailbox_domains": ["posthouse.test"], **LIST},
            "Postmaster@posthouse.test",
            "",
            "virtual",
        ),
        # Hosts that verify senders ask for it.
        ({"virtual_mailbox_domains": ["posthouse.test"], **LIST}, "double-bounce", "", "discard"),
        (
            {"virtual_mailbox_domains": ["boxes.test"], **LIST},
            "postmaster@boxes.test",
            "550 5.1.1 User unknown in virtual mailbox table",
            "virtual",
        ),
    ],
)
def test_recipients_that_a_host_must_have(
    parameters: dict[str, Any], recipient: str, refusal: str, transport: str
) -> None:
    rules = AddressRules({"virtual_mailbox_domains": [], **parameters})
    assert rules.refusal(recipient) == refusal
    assert rules.route(recipient)[1] == transport


def test_an_alias_that_grows_ends_at_the_limit() -> None:
    """It was seen at the next address only, and a thousand steps make millions before that."""
    members = ", ".join(f"q{number}@d.test" for number in range(60))
    rules = AddressRules(
        {
            "virtual_alias_maps": inline(
                f"a@b.test = c@b.test, {members}", f"c@b.test = a@b.test, {members}"
            ),
            "virtual_alias_expansion_limit": 100,
        }
    )
    with pytest.raises(MailError, match=r"a@b\.test: more than 100 addresses") as caught:
        rules.expand("a@b.test")
    assert str(caught.value.status) == "451 4.6.0 Alias expansion error"


def test_long_expansions_are_made_once_for_clients_that_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each frame of one drove out the other: hundreds of expansions of seconds each."""
    found: list[str] = []
    ask = mapping.AddressMap.all

    async def counted(self: mapping.AddressMap, mailbox: Mailbox) -> list[Mailbox] | None:
        if mailbox.domain == "b.test":
            found.append(mailbox.local)
        return await ask(self, mailbox)

    monkeypatch.setattr(mapping.AddressMap, "all", counted)
    members = ", ".join(f"{number}@d" for number in range(1500))
    lists = [f"l{number}" for number in range(4)]
    table = tmp_path / "aliases"
    table.write_text("".join(f"{name}@b.test  {members}\n" for name in lists))
    rules = AddressRules(
        {
            "virtual_alias_maps": [f"texthash:{table}"],
            "virtual_alias_expansion_limit": 10_000,
        }
    )
    got = dict.fromkeys(lists, 0)
    for _ in range(2):
        for name in lists:
            reply = rules.answer(Expand(f"{name}@b.test", got[name]))
            assert isinstance(reply, Expanded)
            got[name] += len(reply.addresses)
            assert reply.more is (got[name] < 1500)
    assert got == dict.fromkeys(lists, 1500)
    assert found == lists
