"""What a nexthop leads to, over SMTP and over LMTP."""

import asyncio
from random import Random

import pytest

from mta.delivery.client.destinations import Destinations
from mta.delivery.client.hosts import HostOrder
from mta.ipc.messages import HostAddresses, MailHost, MailHosts
from mta.proto.status import MailError


class Resolver:
    """Knows one domain with one mail host; all hosts have one address. Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def mail_hosts(self, domain: str) -> MailHosts:
        self.asked.append(f"MX {domain}")
        return MailHosts((MailHost(10, f"mx.{domain}", ("198.51.100.1",)),), implicit=False)

    async def addresses(self, name: str) -> HostAddresses:
        self.asked.append(f"A {name}")
        return HostAddresses(("198.51.100.2",))


def find(nexthop: str, *, lmtp: bool) -> tuple[list[str], list[str]]:
    """The endpoints, and what the resolver was asked."""
    resolver = Resolver()
    order = HostOrder("all", "any", 5, None, Random(1))
    port = 24 if lmtp else 25
    destinations = Destinations(resolver, order, "posthouse.test", port, lmtp=lmtp)
    itinerary = asyncio.run(destinations.find(nexthop))
    return [str(endpoint) for endpoint in itinerary.endpoints], resolver.asked


@pytest.mark.parametrize(
    ("nexthop", "lmtp", "endpoint", "asked"),
    [
        ("x.test", False, "mx.x.test[198.51.100.1]:25", ["MX x.test"]),
        ("X.Test.", False, "mx.x.test[198.51.100.1]:25", ["MX x.test"]),
        ("x.test:587", False, "mx.x.test[198.51.100.1]:587", ["MX x.test"]),
        ("[x.test]", False, "x.test[198.51.100.2]:25", ["A x.test"]),
        ("[x.test]:587", False, "x.test[198.51.100.2]:587", ["A x.test"]),
        ("[192.0.2.1]", False, "192.0.2.1[192.0.2.1]:25", []),
        ("[192.0.2.1]:2626", False, "192.0.2.1[192.0.2.1]:2626", []),
        ("[IPv6:2001:DB8::1]", False, "2001:db8::1[2001:db8::1]:25", []),
        ("x.test", True, "x.test[198.51.100.2]:24", ["A x.test"]),
        ("inet:x.test:2424", True, "x.test[198.51.100.2]:2424", ["A x.test"]),
        ("inet:192.0.2.1:24", True, "192.0.2.1[192.0.2.1]:24", []),
        ("[x.test]", True, "x.test[198.51.100.2]:24", ["A x.test"]),
        ("unix:/run/dovecot/lmtp", True, "posthouse.test[/run/dovecot/lmtp]", []),
        ("unix:private/store", True, "posthouse.test[private/store]", []),
    ],
)
def test_where_a_nexthop_leads(nexthop: str, lmtp: bool, endpoint: str, asked: list[str]) -> None:
    assert find(nexthop, lmtp=lmtp) == ([endpoint], asked)


@pytest.mark.parametrize(
    ("nexthop", "lmtp"),
    [("", False), ("[x.test", False), ("a..b/c", False), ("unix:/x", False), ("unix:", True)],
)
def test_a_nexthop_that_leads_nowhere(nexthop: str, lmtp: bool) -> None:
    with pytest.raises(MailError) as caught:
        find(nexthop, lmtp=lmtp)
    assert str(caught.value.status) == f"550 5.1.2 bad destination: {nexthop}"
