"""Destinations as they are written in main.yml and in routes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.proto.nexthop import Destination, UnixDestination, parse_nexthop, split_transport


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("example.org", Destination("example.org", by_mx=True)),
        ("Example.ORG.", Destination("example.org", by_mx=True)),
        ("example.org:587", Destination("example.org", 587, by_mx=True)),
        ("[mail.Example.org]", Destination("mail.example.org")),
        ("[mail.example.org]:2626", Destination("mail.example.org", 2626)),
        ("[192.0.2.1]:26", Destination("192.0.2.1", 26)),
        ("[2001:DB8::1]", Destination("2001:db8::1")),
        ("[IPv6:2001:db8:0::1]:25", Destination("2001:db8::1", 25)),
        ("inet:localhost:24", Destination("localhost", 24)),
        ("inet:[::1]:24", Destination("::1", 24)),
        ("unix:/run/dovecot/lmtp", UnixDestination("/run/dovecot/lmtp")),
    ],
)
def test_destinations(text: str, destination: Destination | UnixDestination) -> None:
    assert parse_nexthop(text) == destination


@pytest.mark.parametrize(
    "text",
    [
        *("", "[", "[]", "[a b]", "[mail.example.org", "[a]b", "[a]:", "[a]:0", "[a]:65536"),
        *("example.org:", "example.org:smtp", "-a", "a/b", "::1", "unix:", "inet:a", "inet::24"),
        *("[IPv6:x]", "a\nb", "[192.0.2.1]:2\u0665", "example.org:25:26"),
    ],
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_nexthop(text)


@given(st.text(max_size=40))
def test_anything_is_a_destination_or_refused(text: str) -> None:
    try:
        found = parse_nexthop(text)
    except ValueError:
        return
    if isinstance(found, Destination):
        assert found.host == found.host.lower()
        assert 0 <= found.port < 65536


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("outbound", ("outbound", "")),
        ("lmtp:unix:/run/lmtp", ("lmtp", "unix:/run/lmtp")),
        ("error:5.7.1 no mail here", ("error", "5.7.1 no mail here")),
        ("discard:", ("discard", "")),
    ],
)
def test_transports(text: str, parts: tuple[str, str]) -> None:
    assert split_transport(text) == parts


@pytest.mark.parametrize("text", ["", ":x", "Outbound", "a b", "x" * 33])
def test_what_names_no_transport(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        split_transport(text)
