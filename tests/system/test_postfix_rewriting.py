"""Addresses as Postfix rewrites and routes them: the same letters under the same parameters.

Debian's Postfix and a whole system of ours get them over SMTP, and send them on to peers of the
test. Compared are the recipients refused, by code and enhanced status, the envelopes by peer, and
the addresses in the header fields.
"""

import tempfile
from pathlib import Path

import pytest
from support.debian import PackageUnavailable
from support.instance import NewInstance
from support.rewriting_pair import Letter, Pair, Value

pytestmark = pytest.mark.requires("root", "unshare", "nsenter", "setpriv")


def inline(*entries: str) -> str:
    """A table of entries KEY = VALUE."""
    return "inline:{ " + ", ".join(f"{{{entry}}}" for entry in entries) + " }"


CANONICAL: dict[str, Value] = {
    "mydestination": ["here.test", "local.test"],
    "recipient_delimiter": "+",
    "canonical_maps": [
        inline(
            "alice@old.test = alice.a@new.test",
            "bob = bobby@names.test",
            "@wild.test = @tame.test",
            "dora@old.test = dora",
            "fritz+x@old.test = fritz-x@new.test",
            "@one.test = all@new.test",
        )
    ],
    "sender_canonical_maps": [inline("carol@old.test = sender@new.test")],
    "recipient_canonical_maps": [inline("carol@old.test = recipient@new.test")],
    "masquerade_domains": ["!keep.masq.test", "masq.test", "sub.masq.test"],
    "masquerade_exceptions": ["root"],
}
CANONICAL_LETTERS = [
    Letter("alice@old.test", ("alice@old.test",), ("From: alice@old.test", "To: Alice@OLD.test")),
    Letter("bob@here.test", ("bob@local.test",), ("From: bob", "To: Bob <bob@local.test>")),
    Letter("bob@elsewhere.test", ("bob@elsewhere.test",), ("From: bob@elsewhere.test",)),
    Letter("u@wild.test", ("v+x@wild.test",), ("From: u@wild.test", "Cc: v+x@wild.test")),
    Letter("u+y@one.test", ("v@one.test",), ("From: u+y@one.test", "Cc: v@one.test")),
    Letter("carol@old.test", ("carol@old.test",), ("From: carol@old.test", "To: carol@old.test")),
    Letter("alice+tag@old.test", ("alice+tag@old.test",), ("To: alice+tag@old.test",)),
    Letter("fritz+x@old.test", ("fritz+y@old.test",), ("To: fritz+x@old.test",)),
    Letter("dora@old.test", ("dora+a@old.test",), ("From: dora@old.test",)),
    Letter("a@h.masq.test", ("b@h.masq.test",), ("From: a@h.masq.test", "To: b@h.masq.test")),
    Letter("a@g.sub.masq.test", ("x@far.test",), ("From: a@g.sub.masq.test",)),
    Letter("a@keep.masq.test", ("x@far.test",), ("From: a@b.keep.masq.test",)),
    Letter("root@h.masq.test", ("x@far.test",), ("From: Root@h.masq.test", "To: x@notmasq.test")),
    Letter("", ("x@far.test",), ("From: user", "To: friends: a, b@old.test, alice@old.test;")),
    Letter('"a b"@old.test', ('"a b"@wild.test',), ('From: "a b"@wild.test',)),
    Letter("a@xmasq.test", ("x@far.test",), ("From: a@xmasq.test", "To: x@h.MASQ.test")),
]

CLASSES: dict[str, Value] = {
    "canonical_maps": [inline("a@old.test = a@new.test")],
    "canonical_classes": ["envelope_sender", "header_recipient"],
    "masquerade_domains": ["masq.test"],
    "masquerade_classes": ["envelope_recipient", "header_sender"],
    "recipient_delimiter": "+",
    "propagate_unmatched_extensions": [],
    "append_dot_mydomain": True,
    "mydomain": "site.test",
    "virtual_alias_maps": [inline("b@old.test = b@new.test")],
}
CLASSES_LETTERS = [
    Letter("a@old.test", ("a@old.test",), ("From: a@old.test", "To: a@old.test")),
    Letter("x@h.masq.test", ("x@h.masq.test",), ("From: x@h.masq.test", "To: x@h.masq.test")),
    Letter("a+t@old.test", ("b+t@old.test",), ("From: a+t@old.test", "To: a+t@old.test")),
    Letter("x@far.test", ("x@far.test",), ("From: x@host", "To: y", "Cc: z@host.far.test")),
]

ALIASES: dict[str, Value] = {
    "mydestination": ["here.test", "local.test"],
    "recipient_delimiter": "+-",
    "virtual_alias_domains": ["alias.test"],
    "virtual_alias_maps": [
        inline(
            "info@alias.test = a@far.test, b@far.test",
            "@catch.test = catcher@far.test",
            "@moved.test = @kept.test",
            "self@far.test = self@far.test, copy@far.test",
            "one@far.test = two@far.test",
            "two@far.test = three@far.test",
            "dave@far.test = david@far.test",
            "dave+list@far.test = dave.list@far.test",
            "erin = erin@far.test",
            "loop.a@far.test = loop.b@far.test",
            "loop.b@far.test = loop.a@far.test",
            "twice@far.test = d@far.test, D@far.test, d@far.test",
            "names@far.test = x, y@far.test",
            "postmaster@here.test = pm@far.test",
            "exact@catch.test = exact@far.test",
            "@self.test = @self.test",
        )
    ],
}
ALIASES_LETTERS = [
    Letter("s@x.test", ("info@alias.test",), ("To: info@alias.test",)),
    Letter("s@x.test", ("nobody@alias.test", "c@far.test")),
    Letter("s@x.test", ("anyone@catch.test", "exact@catch.test", "any+x@catch.test")),
    Letter("s@x.test", ("u@moved.test", "u+x@moved.test")),
    Letter("s@x.test", ("self@far.test",)),
    Letter("s@x.test", ("one@far.test",)),
    Letter("s@x.test", ("dave@far.test", "dave+x@far.test", "dave-y+z@far.test")),
    Letter("s@x.test", ("dave+list@far.test",)),
    Letter("s@x.test", ("erin@here.test", "erin+x@local.test", "erin@other.test")),
    Letter("s@x.test", ("loop.a@far.test",)),
    Letter("s@x.test", ("twice@far.test",)),
    Letter("s@x.test", ("names@far.test",)),
    Letter("s@x.test", ("postmaster", "Postmaster@here.test")),
    Letter("s@x.test", ("u@self.test",)),
    Letter("", ("info@alias.test", "a@far.test")),
]

COPIES: dict[str, Value] = {
    "recipient_delimiter": "+",
    "always_bcc": "archive@far.test",
    "sender_bcc_maps": [
        inline("s@x.test = s.copy@far.test", "@y.test = y.copy@far.test", "u = u.copy@far.test")
    ],
    "recipient_bcc_maps": [inline("r@far.test = r.copy@far.test", "@z.test = @copies.test")],
    "virtual_alias_maps": [
        inline("s.copy@far.test = alias.copy@far.test", "r@far.test = other@far.test")
    ],
}
COPIES_LETTERS = [
    Letter("s@x.test", ("r@far.test",)),
    Letter("s+e@x.test", ("q@far.test",)),
    Letter("t@y.test", ("r+e@far.test", "w@far.test")),
    Letter("u@here.test", ("w@far.test",)),
    Letter("", ("r@far.test",)),
]

GENERIC: dict[str, Value] = {
    "recipient_delimiter": "+",
    "propagate_unmatched_extensions": ["generic"],
    "smtp_generic_maps": [
        inline(
            "me@here.test = account@isp.test",
            "@inner.test = site@isp.test",
            "root = admin@isp.test",
        )
    ],
}
GENERIC_LETTERS = [
    Letter("me@here.test", ("x@far.test",), ("From: Me <me@here.test>", "To: x@far.test")),
    Letter("me+tag@here.test", ("me@here.test",), ("From: me+tag@here.test", "Cc: me")),
    Letter("any@inner.test", ("any@inner.test",), ("From: any@inner.test", "X-A: me@here.test")),
    Letter("root@here.test", ("x@far.test",), ("From: root", "To: root@other.test")),
    Letter("", ("me@here.test",), ("From: nobody@far.test",)),
]

ROUTES: dict[str, Value] = {
    "mydestination": ["here.test"],
    "recipient_delimiter": "+",
    "relay_domains": ["relay.test"],
    "relay_recipient_maps": [
        inline("known@relay.test = x", "moved@relay.test = x", "@open.relay.test = x")
    ],
    "local_recipient_maps": [inline("root = x", "user@here.test = x", "ext = x", "postmaster = x")],
    "virtual_alias_domains": ["alias.test"],
    "virtual_alias_maps": [inline("a@alias.test = b@far.test", "only@relay.test = c@far.test")],
    "relocated_maps": [
        inline(
            "gone@far.test = new@place.test",
            "moved@relay.test = m@place.test",
            "left = {elsewhere}",
            "@closed.test = {nowhere}",
        )
    ],
    "transport_maps": [
        inline(
            "beta.test = %smtp%:[127.0.0.1]:%beta%",
            ".beta.test = %smtp%:[127.0.0.1]:%gamma%",
            "user@far.test = %smtp%:[127.0.0.1]:%beta%",
            "user+x@far.test = %smtp%:[127.0.0.1]:%gamma%",
            "hop.test = :[127.0.0.1]:%gamma%",
            "exact.beta.test = %smtp%:[127.0.0.1]:%alpha%",
            "plain.test = :",
            "bad.test = error:5.7.1 closed",
        )
    ],
    "sender_dependent_relayhost_maps": [
        inline(
            "vip@x.test = [127.0.0.1]:%beta%",
            "@dep.test = [127.0.0.1]:%gamma%",
            "no@dep.test = DUNNO",
        )
    ],
}
ROUTES_LETTERS = [
    Letter("s@x.test", ("known@relay.test", "unknown@relay.test", "known+e@relay.test")),
    Letter("s@x.test", ("only@relay.test", "Known@Relay.Test")),
    Letter("s@x.test", ("root@here.test", "user@here.test", "nobody@here.test", "ext+1@here.test")),
    Letter("s@x.test", ("a@alias.test", "b@alias.test")),
    Letter("s@x.test", ("gone@far.test", "x@far.test")),
    Letter("s@x.test", ("moved@relay.test",)),
    Letter("s@x.test", ("left@here.test", "root@here.test", "any@closed.test")),
    Letter("s@x.test", ("x@beta.test", "x@sub.beta.test", "x@exact.beta.test", "x@a.b.beta.test")),
    Letter("s@x.test", ("user@far.test", "user+x@far.test", "user+y@far.test", "other@far.test")),
    Letter("s@x.test", ("x@hop.test", "x@plain.test")),
    Letter("s@x.test", ("x@bad.test", "x@far.test")),
    Letter("vip@x.test", ("x@far.test", "x@beta.test")),
    Letter("vip+e@x.test", ("x@far.test",)),
    Letter("any@dep.test", ("x@far.test", "x@hop.test", "x@plain.test")),
    Letter("no@dep.test", ("x@far.test",)),
    Letter("", ("x@far.test", "gone@far.test")),
]

# What may stand in tables though no manual page shows it.
UNUSUAL: dict[str, Value] = {
    "recipient_delimiter": "+",
    "propagate_unmatched_extensions": [],
    "virtual_alias_maps": [
        inline(
            "whole@far.test = @near.test",
            "named@far.test = Joe Doe <joe@near.test>, <ann@near.test>",
            'commas@far.test = "Doe, Joe" <joe@near.test>',
            "spaced@far.test = a@near.test b@near.test",
            'quoted@far.test = "c, d"@near.test, e@near.test',
            "empty@far.test = , f@near.test,, g@near.test,",
            "routed@far.test = <@hop.test:h@near.test>",
        )
    ],
    "relay_domains": ["later.test", "shut.test"],
    "transport_maps": [
        inline("shut.test = error:", "closed.test = error", "later.test = retry:", "* = :")
    ],
}
UNUSUAL_LETTERS = [
    Letter("s@x.test", ("whole+e@far.test",)),
    Letter("s@x.test", ("named@far.test",)),
    Letter("s@x.test", ("commas@far.test",)),
    Letter("s@x.test", ("spaced@far.test",)),
    Letter("s@x.test", ("quoted@far.test",)),
    Letter("s@x.test", ("empty@far.test",)),
    Letter("s@x.test", ("routed@far.test",)),
    Letter("s@x.test", ("x@shut.test", "x@closed.test", "x@far.test")),
    Letter("s@x.test", ("x@later.test", "x@far.test")),
]

HOUSES = {
    "canonical": (CANONICAL, CANONICAL_LETTERS),
    "classes": (CLASSES, CLASSES_LETTERS),
    "aliases": (ALIASES, ALIASES_LETTERS),
    "copies": (COPIES, COPIES_LETTERS),
    "generic": (GENERIC, GENERIC_LETTERS),
    "routes": (ROUTES, ROUTES_LETTERS),
    "unusual": (UNUSUAL, UNUSUAL_LETTERS),
}


@pytest.mark.parametrize("house", HOUSES)
def test_letters_fare_as_with_postfix(house: str, new_instance: NewInstance) -> None:
    parameters, letters = HOUSES[house]
    with tempfile.TemporaryDirectory(prefix="mta-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # Postfix has users of its own
        try:
            pair = Pair(new_instance(), Path(name))
        except PackageUnavailable as error:
            pytest.skip(str(error))
        with pair:
            pair.configure(parameters)
            theirs, ours = pair.post(letters)
    for letter, their, our in zip(letters, theirs, ours, strict=True):
        assert (letter, our) == (letter, their)
