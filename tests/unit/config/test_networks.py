"""How much of the Internet some networks hold: the rule that tells an open relay."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.config.networks import Share, shares
from mta.proto.relay import Client, Networks

GLOBAL_V6 = 2**125 - 2**105 - 2**96 - 2**112 - 2**108  # 2000::/3 without what is special in it


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ((), ()),
        (("10.0.0.0/8", "fd00::/8", "192.0.2.0/24", "2001:db8::/32"), ()),
        (("9.0.0.0/8",), (Share(4, 2**24, "9.0.0.1"),)),
        (("8.8.8.8/32",), (Share(4, 1, "8.8.8.8"),)),
        (("9.0.0.0/9", "9.128.0.0/9", "9.1.0.0/16"), (Share(4, 2**24, "9.0.0.1"),)),
        (("::ffff:9.0.0.0/104",), (Share(4, 2**24, "9.0.0.1"),)),
        (("10.0.0.0/7",), (Share(4, 2**24, "11.0.0.1"),)),
        (("126.0.0.0/7",), (Share(4, 2**24, "126.0.0.1"),)),
        (("2000::/3",), (Share(6, GLOBAL_V6, "2000::1"),)),
        (("::/0",), (Share(6, GLOBAL_V6, "2000::1"),)),
        (("2400::/20", "9.0.0.0/24"), (Share(4, 256, "9.0.0.1"), Share(6, 2**108, "2400::1"))),
    ],
)
def test_shares(networks: tuple[str, ...], expected: tuple[Share, ...]) -> None:
    assert shares(networks) == expected


def test_all_of_ipv4() -> None:
    (share,) = shares(("0.0.0.0/0",))
    assert share.first == "1.0.0.1"
    assert 3_700_000_000 < share.addresses < 3_710_000_000
    assert shares(("0.0.0.0/1", "128.0.0.0/1")) == (share,)


@pytest.mark.parametrize(
    ("addresses", "prefix"), [(1, 32), (2**16, 16), (2**16 + 1, 15), (2**24, 8), (2**24 + 1, 7)]
)
def test_the_prefix_of_that_many_addresses(addresses: int, prefix: int) -> None:
    assert Share(4, addresses, "").prefix == prefix


MAPPED = ipaddress.ip_network("::ffff:0:0/96")
networks = st.tuples(st.ip_addresses(), st.integers(0, 128)).map(
    lambda pair: str(
        ipaddress.ip_network(f"{pair[0]}/{min(pair[1], pair[0].max_prefixlen)}", strict=False)
    )
)


@given(st.lists(networks, min_size=1, max_size=5))
def test_the_first_of_them_is_a_stranger_whom_smtpd_trusts(held: list[str]) -> None:
    for share in shares(held):
        assert ipaddress.ip_address(share.first).is_global
        assert Client(share.first, 1) in Networks(held)


@given(networks)
@example("::fffe:0:0/95")
def test_two_halves_are_the_whole(network: str) -> None:
    """Unless one half is all IPv4-mapped addresses: that is IPv4 itself, as clients are."""
    whole = ipaddress.ip_network(network)
    if whole.prefixlen < whole.max_prefixlen and MAPPED not in whole.subnets():
        assert shares(map(str, whole.subnets())) == shares((network,))
