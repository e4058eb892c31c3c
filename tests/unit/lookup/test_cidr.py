"""cidr: which rule an address gets, and what is said of rules that are wrong."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.lookup.open import open_table
from mta.lookup.syntax import parse
from mta.lookup.table import Table, TableError

NETWORKS = """\
# several forms
10.0.0.0/8      ten
[172.16.0.0]/12 twelve
[192.0.2.0/24]  documentation,
    in two lines
192.0.3.1       host
[192.0.3.2]     bracketed
::1             loopback
2001:db8::/32   six
[2001:DB8:1::]/48 never
if 198.51.100.0/24
198.51.100.0/25 low
IF !198.51.100.128/26
198.51.100.0/24 high
endif
EndIf
if !203.0.113.0/24
!192.0.0.0/8    neither 192 nor 203
endif
! ! 203.0.113.7 even
!2001::/16      other six
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "t"


def table_of(file: Path, content: str) -> Table:
    file.write_text(content)
    return open_table(parse(f"cidr:{file}"))


@pytest.mark.parametrize(
    ("key", "result"),
    [
        ("10.1.2.3", "ten"),
        ("172.31.255.255", "twelve"),
        ("172.32.0.0", "neither 192 nor 203"),
        ("192.0.2.1", "documentation,    in two lines"),
        ("192.0.3.1", "host"),
        ("192.0.3.2", "bracketed"),
        ("192.0.3.3", None),
        ("::1", "loopback"),
        ("0:0:0:0:0:0:0:1", "loopback"),
        ("2001:DB8:1::1", "six"),
        ("198.51.100.1", "low"),
        ("198.51.100.130", "neither 192 nor 203"),
        ("198.51.100.200", "high"),
        ("203.0.113.7", "even"),
        ("203.0.113.8", None),
        ("3000::", "other six"),
        ("::ffff:10.1.2.3", "other six"),
        ("fe80::1%eth0", None),
        ("[10.1.2.3]", None),
        ("10.1.2.03", None),
        ("10.1.2", None),
        ("10.1.2.3/32", None),
        ("user@example.org", None),
        ("", None),
        ("1" * 1_000_000, None),
        ("10.1.2.3\0", None),
        ("\u0661\u0660.1.2.3", None),
        ("\ud800", None),
    ],
)
def test_addresses(file: Path, key: str, result: str | None) -> None:
    assert table_of(file, NETWORKS).find(key) == result


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("10.0.0.0/8", "1:11: expected a result after the pattern"),
        ("# c\n10.0.0.0/8  \n", "2:13: expected a result after the pattern"),
        (
            "10.0.0.1/8 x",
            '1:1: expected an address or a network, got "10.0.0.1/8": perhaps 10.0.0.0/8 is meant',
        ),
        ("10.0.0.0/33 x", '1:1: expected an address or a network, got "10.0.0.0/33": '),
        ("!10.0.0.0/33 x", '1:2: expected an address or a network, got "10.0.0.0/33": '),
        ("010.0.0.0/8 x", '1:1: expected an address or a network, got "010.0.0.0/8": '),
        ("10.0.0/8 x", '1:1: expected an address or a network, got "10.0.0/8": '),
        ("10.0.0.0/255.0.0.0 x", "1:1: expected ADDRESS or NETWORK/LENGTH, and a result"),
        ("10.0.0.0/ 8 x", "1:1: expected ADDRESS or NETWORK/LENGTH, and a result"),
        ("[10.0.0.0/8 x", "1:1: expected ADDRESS or NETWORK/LENGTH, and a result"),
        ("example.org x", "1:1: expected ADDRESS or NETWORK/LENGTH, and a result"),
        ("if 10.0.0.0/8\n10.1.1.1 x\n", "1:1: expected an endif for this if"),
        ("if ::/0\nif ::/1\nendif", "1:1: expected an endif for this if"),
        ("1.1.1.1 x\nendif\n", "2:1: expected an if before this endif"),
        ("if ::/0\nendif x\n", "2:7: expected nothing after endif"),
        ("if ::/0 x\nendif", "1:9: expected nothing after the pattern"),
        ("if ::/0\n ::1 x\nendif", "2:2: expected nothing after the pattern"),
        ("::1 " + "x" * 50_001, "1:5: expected a result of at most 50000 octets"),
        (" ::1 x", "1:2: expected a line that starts with text"),
    ],
    ids=range(19),
)
def test_errors_say_where(file: Path, content: str, reason: str) -> None:
    table = table_of(file, f"{content}")
    for key in ("192.0.2.1", "::1", "10.0.0.1"):
        with pytest.raises(TableError) as raised:
            table.find(key)
        assert str(raised.value).startswith(f"{file}:{reason}")


def test_only_whole_addresses_are_keys(file: Path) -> None:
    assert not table_of(file, "::1 x\n").takes_parts


def test_it_is_read_again_when_it_was_replaced(file: Path) -> None:
    table = table_of(file, "::1 x\n")
    assert table.find("::1") == "x"
    before = table.identity()
    file.unlink()
    with pytest.raises(TableError, match="No such file"):
        table.find("::1")
    file.write_text("::1 y\n")
    assert table.find("::1") == "y"
    assert table.identity() != before


networks = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
        lambda it: ipaddress.ip_network((it[0], it[1]), strict=False)
    ),
    st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(
        lambda it: ipaddress.ip_network((it[0] | 2**127, it[1]), strict=False)
    ),
)


@given(rules=st.lists(st.tuples(networks, st.booleans()), max_size=8), data=st.data())
def test_the_first_network_that_holds_the_address(
    tmp_path_factory: pytest.TempPathFactory,
    rules: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, bool]],
    data: st.DataObject,
) -> None:
    near = [it[0].network_address for it in rules] + [it[0].broadcast_address for it in rules]
    some = st.ip_addresses()
    address = data.draw(st.one_of(some, st.sampled_from(near)) if near else some)
    expected = None
    for number, (network, negated) in enumerate(rules):
        if network.version == address.version and (address in network) != negated:
            expected = str(number)
            break
    lines = [f"{'!' if negated else ''}{net} {n}\n" for n, (net, negated) in enumerate(rules)]
    file = tmp_path_factory.mktemp("cidr") / "t"
    assert table_of(file, "".join(lines)).find(str(address)) == expected
