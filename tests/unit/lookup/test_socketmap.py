"""Tables that a program answers for: its address, its answers, and Postfix's understanding of them.

How a daemon fares with a program that babbles or says nothing is in tests/daemon/test_lookup.py.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.postmap import Postmap
from support.socketmap_server import SILENCE, SocketmapServer, netstring

from mta.lookup.patience import Patience
from mta.lookup.socketmap import Server, SocketmapTable, parse_server
from mta.lookup.table import TableError

VALUES = {
    "plain": "OK value",
    "Case@Example.ORG": "OK as it is",
    "spaces": "OK  two  spaces ",
    "missing": "NOTFOUND ",
    "bob@example.org": "OK a@example.net, b@example.net",
    "\u00fc@example.org": "OK \u00e4",
}
KEYS = [*VALUES, "case@example.org", "unknown", "a b", "'", "x" * 1000]


@pytest.fixture
def server() -> Iterator[SocketmapServer]:
    def answer(name: str, key: str) -> bytes:
        return netstring(VALUES.get(key, "NOTFOUND no such key"))

    with SocketmapServer(answer) as running:
        yield running


@contextlib.contextmanager
def table(server: SocketmapServer, seconds: float = 10.0) -> Iterator[SocketmapTable]:
    argument = f"{server.address}:aliases"
    made = SocketmapTable(f"socketmap:{argument}", parse_server(argument), Patience(seconds))
    yield made
    made.close()


def test_answers(server: SocketmapServer) -> None:
    with table(server) as asked:
        assert asked.find("Case@Example.ORG") == "as it is"
        assert asked.find("case@example.org") is None
        assert asked.find("spaces") == " two  spaces "
        assert asked.find("no UTF-8 \udcff") is None
    assert server.served[0] == ("aliases", "Case@Example.ORG")
    assert server.connections == 1


@pytest.mark.requires("postmap")
def test_as_postfix(server: SocketmapServer, tmp_path: Path) -> None:
    with table(server) as asked:
        found = {key: value for key in KEYS if (value := asked.find(key)) is not None}
    assert Postmap(tmp_path).query(f"socketmap:{server.address}:aliases", KEYS) == found


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (netstring("TEMP later"), "the server says TEMP later"),
        (netstring("TIMEOUT "), "the server says TIMEOUT"),
        (netstring("PERM no"), "the server says PERM no"),
        (netstring("ok value"), "expected OK, NOTFOUND, TEMP, TIMEOUT or PERM"),
        (netstring(""), "expected OK, NOTFOUND"),
        (b"", "the server closed the connection"),
        (b"OK value", "expected LENGTH:OCTETS,"),
        (SILENCE, "no answer within 0.2 s"),
    ],
)
def test_failures(server: SocketmapServer, reply: bytes, reason: str) -> None:
    server.answer = lambda _name, _key: reply
    with table(server, 0.2) as asked, pytest.raises(TableError) as caught:
        asked.find("key")
    assert str(caught.value).startswith(f"socketmap:{server.address}:aliases: ")
    assert reason in str(caught.value)


def test_asked_once_more_but_not_twice(server: SocketmapServer) -> None:
    """Of a server that always hangs up, each look-up is one failure, and no endless loop."""
    with table(server) as asked:
        asked.find("plain")
        server.answer = lambda _name, _key: b""
        with pytest.raises(TableError, match="closed the connection"):
            asked.find("plain")
    assert server.connections == 2


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("inet:localhost:2000:aliases", Server("aliases", host="localhost", port=2000)),
        ("inet:127.0.0.1:2000:a", Server("a", host="127.0.0.1", port=2000)),
        ("inet:[::1]:2000:a", Server("a", host="::1", port=2000)),
        ("unix:/run/map:aliases", Server("aliases", path="/run/map")),
        ("unix:/run/a:b:aliases", Server("aliases", path="/run/a:b")),
    ],
)
def test_addresses(argument: str, expected: Server) -> None:
    assert parse_server(argument) == expected


@pytest.mark.parametrize(
    "argument",
    [
        *("", "inet:localhost:aliases", "inet:localhost:0:a", "inet:localhost:65536:a"),
        *("inet::2000:a", "inet:localhost:2000:", "inet:localhost:smtp:a", "inet:::1:2000:a"),
        *("unix:map:a", "unix:/map", "unix:/map:", "unix:/map:a b", f"unix:/{'x' * 107}:a"),
        *("tcp:localhost:2000:a", "inet:a b:2000:a", "inet:localhost:\u0663000:a"),
    ],
)
def test_what_is_no_address(argument: str) -> None:
    with pytest.raises(ValueError, match="expected "):
        parse_server(argument)


@given(st.text("inetux:/[]0123456789.ab ", max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        server = parse_server(text)
    except ValueError:
        return
    assert bool(server.path) != bool(server.host)
    assert server.name
