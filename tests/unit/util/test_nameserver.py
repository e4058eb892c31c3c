"""Name servers as an operator writes them."""

import pytest

from mta.util.nameserver import NameServer, parse_name_server


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", NameServer("192.0.2.1", 53)),
        ("2001:DB8::0:1", NameServer("2001:db8::1", 53)),
        ("[192.0.2.1]:5353", NameServer("192.0.2.1", 5353)),
        ("[2001:db8::1]:65535", NameServer("2001:db8::1", 65535)),
    ],
)
def test_name_servers(text: str, expected: NameServer) -> None:
    assert parse_name_server(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "192.0.2.1:53",
        "192.0.2.256",
        "[192.0.2.1]",
        "[192.0.2.1]:",
        "[192.0.2.1]:0",
        "[192.0.2.1]:65536",
        "[192.0.2.1]:53 ",
        "[ns.example.org]:53",
        "[::1]53",
        "::1:x",
        "https://192.0.2.1/dns-query",
    ],
)
def test_what_is_no_name_server(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected .*got"):
        parse_name_server(text)
