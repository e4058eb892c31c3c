"""Which name servers are asked, and which are believed."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import dns.nameserver
import pytest
from support.ipc import Journal

from mta.daemons.resolver import servers as servers_module
from mta.daemons.resolver.questions import _is_trusted
from mta.daemons.resolver.servers import ResolvConf, make_resolver
from mta.util.nameserver import NameServer


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal()
    yield journal
    journal.close()


def asked(given: list[NameServer], path: Path, journal: Journal) -> list[str]:
    """The servers that would be asked, in order."""
    resolver = make_resolver(given, str(path), journal.log)
    return [
        str(server) if isinstance(server, dns.nameserver.Nameserver) else f"{server}@53"
        for server in resolver.nameservers
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 192.0.2.1\n", ["192.0.2.1@53"]),
        (
            "# a comment\nsearch example.org\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n",
            ["192.0.2.1@53", "2001:db8::1@53"],
        ),
        ("", ["Do53:127.0.0.1@53"]),
        ("search example.org\n", ["Do53:127.0.0.1@53"]),
        ("nameserver ns.example.org\n", ["Do53:127.0.0.1@53"]),
        ("search a..b\n", ["Do53:127.0.0.1@53"]),
        ("nameserver \udcff\n", ["Do53:127.0.0.1@53"]),
    ],
)
def test_resolv_conf(tmp_path: Path, journal: Journal, text: str, expected: list[str]) -> None:
    path = tmp_path / "resolv.conf"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert asked([], path, journal) == expected
    assert bool(journal.events("resolv_conf")) == (expected == ["Do53:127.0.0.1@53"])


def test_no_resolv_conf(tmp_path: Path, journal: Journal) -> None:
    assert asked([], tmp_path / "resolv.conf", journal) == ["Do53:127.0.0.1@53"]


def test_dns_servers_come_first(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")
    given = [NameServer("192.0.2.7", 5353), NameServer("2001:db8::1")]
    assert asked(given, path, journal) == ["Do53:192.0.2.7@5353", "Do53:2001:db8::1@53"]


def test_change_is_noticed_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")

    async def scenario() -> None:
        watched = ResolvConf(asyncio.get_running_loop(), str(path))
        path.unlink()
        assert not watched.has_changed()  # it was looked at just now
        monkeypatch.setattr(servers_module, "LOOK_TIME", 0.0)
        assert watched.has_changed()

    asyncio.run(scenario())


@pytest.mark.parametrize("change", ["rewritten", "replaced", "appears"])
def test_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    monkeypatch.setattr(servers_module, "LOOK_TIME", 0.0)
    path = tmp_path / "resolv.conf"
    if change != "appears":
        path.write_text("nameserver 192.0.2.1\n")

    async def scenario() -> None:
        watched = ResolvConf(asyncio.get_running_loop(), str(path))
        assert not watched.has_changed()
        if change == "replaced":
            (tmp_path / "new").write_text("nameserver 192.0.2.1\n")
            os.utime(tmp_path / "new", ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
            (tmp_path / "new").rename(path)
        else:
            path.write_text("nameserver 192.0.2.22\n")
        assert watched.has_changed()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("server", "trusted"),
    [
        ("127.0.0.1", True),
        ("127.0.0.53", True),
        ("::1", True),
        ("192.0.2.1", False),
        ("10.0.0.1", False),
        ("2001:db8::1", False),
        (None, False),
    ],
)
def test_only_a_server_on_this_host_is_believed(server: str | None, trusted: bool) -> None:
    """The AD flag of any other could have been set on the way."""
    assert _is_trusted(server) == trusted
