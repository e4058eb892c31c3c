"""The rewrite daemon, as its clients and the master see it."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert
from support.address_rules import AddressRules
from support.own_master import DaemonProcess, write_snapshot

from mta.config.parameters import Parameters
from mta.ipc.connection import encode
from mta.ipc.messages import (
    FRAME_LIMIT,
    DomainClass,
    Expanded,
    Goodbye,
    Message,
    Refused,
    Resolve,
    Resolved,
    RewriteReply,
    Rewritten,
)
from mta.master.channel import Bye, Command, Crossing
from mta.proto.status import MailError

LISTENER = "ipc:private/rewrite"
VIRTUAL, DEFAULT = DomainClass.VIRTUAL, DomainClass.DEFAULT
RELAY = DomainClass.RELAY
PARAMETERS: dict[str, object] = {
    "myhostname": "posthouse.test",
    "virtual_mailbox_domains": ["example.org", "example.net"],
    "virtual_transport": "virtual",
    "default_transport": "smtp",
    "relay_domains": ["relayed.test", "inside.relayed.test"],
    "relay_transport": "inward",
}


@pytest.fixture
def listener(short_path: Path) -> Iterator[socket.socket]:
    (short_path / "private").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(short_path / "private" / "rewrite"))
        listener.listen(16)
        yield listener


def start(
    directory: Path,
    listener: socket.socket,
    parameters: Mapping[str, object] | None = None,
    row: Mapping[str, object] | None = None,
) -> DaemonProcess:
    fixed = {"name": "rewrite", "daemon": "rewrite", "listen": [LISTENER]}
    write_snapshot(
        directory, {**fixed, **(row or {})}, parameters={**PARAMETERS, **(parameters or {})}
    )
    return DaemonProcess(
        ["-m", "mta.daemons.rewrite"],
        directory,
        [(LISTENER, listener.fileno())],
        service="rewrite",
    )


class Client:
    """A blocking client of the daemon."""

    def __init__(self, listener: socket.socket) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(10)
        self._socket.connect(listener.getsockname())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, number: int, body: Message) -> None:
        self._socket.send(encode(number, body))

    def send_raw(self, data: bytes) -> None:
        self._socket.send(data)

    def hear(self) -> tuple[int, Resolved | Rewritten | Expanded | Refused | Goodbye] | None:
        """The next reply; None at the end."""
        try:
            data = self._socket.recv(FRAME_LIMIT)
        except ConnectionResetError:  # requests were left unread; what was said comes after it
            data = self._socket.recv(FRAME_LIMIT)
        if not data:
            return None
        _, number, body = msgspec.msgpack.decode(data, type=tuple[int, int, RewriteReply])
        return number, body

    def resolve(self, address: str) -> Resolved | Rewritten | Expanded | Refused | Goodbye:
        self.send(self.number, Resolve(address))
        heard = self.hear()
        assert heard is not None
        assert heard[0] == self.number
        self.number += 1
        return heard[1]

    number = 1


ROUTES = [
    # address, canonical form, class, transport, nexthop
    ("user@example.org", "user@example.org", VIRTUAL, "virtual", "example.org"),
    ("User@EXAMPLE.NET", "User@example.net", VIRTUAL, "virtual", "example.net"),
    ('"user"@example.org', "user@example.org", VIRTUAL, "virtual", "example.org"),
    ("@relay.test:user@example.org", "user@example.org", VIRTUAL, "virtual", "example.org"),
    ("user%far.test@example.org", "user%far.test@example.org", VIRTUAL, "virtual", "example.org"),
    ("user@sub.example.org", "user@sub.example.org", DEFAULT, "smtp", "sub.example.org"),
    ("far!user@other.test", "far!user@other.test", DEFAULT, "smtp", "other.test"),
    ("user@[192.0.2.1]", "user@[192.0.2.1]", DEFAULT, "smtp", "[192.0.2.1]"),
    ("postmaster", "postmaster@posthouse.test", VIRTUAL, "virtual", "posthouse.test"),
    ("PostMaster", "PostMaster@posthouse.test", VIRTUAL, "virtual", "posthouse.test"),
    ("postmaster@posthouse.test", "postmaster@posthouse.test", VIRTUAL, "virtual", None),
    ("user@relayed.test", "user@relayed.test", RELAY, "inward", "relayed.test"),
    ("postmaster@Relayed.test", "postmaster@relayed.test", RELAY, "inward", "relayed.test"),
    ("u@inside.relayed.test", "u@inside.relayed.test", RELAY, "inward", "inside.relayed.test"),
    ("user@sub.relayed.test", "user@sub.relayed.test", DEFAULT, "smtp", "sub.relayed.test"),
    ("user", "user@posthouse.test", DEFAULT, "smtp", None),
    ("root@posthouse.test", "root@posthouse.test", DEFAULT, "smtp", "posthouse.test"),
    ("postmaster@other.test", "postmaster@other.test", DEFAULT, "smtp", "other.test"),
    ("double-bounce@example.org", "double-bounce@example.org", VIRTUAL, "virtual", "example.org"),
]


def test_routes(short_path: Path, listener: socket.socket) -> None:
    with start(short_path, listener) as daemon, Client(listener) as client:
        daemon.hear_until(Crossing("free"))
        for address, canonical, domain_class, transport, nexthop in ROUTES:
            expected = Resolved(canonical, domain_class, transport, nexthop or "posthouse.test")
            assert client.resolve(address) == expected
        for address in ("", "user@", "a b@example.org", "us..er@x", "üser@example.org"):
            reply = client.resolve(address)
            assert isinstance(reply, Refused)
            assert (reply.status.code, reply.status.enhanced) == (550, "5.1.3")


def test_host_that_carries_no_foreign_mail(short_path: Path, listener: socket.socket) -> None:
    with (
        start(short_path, listener, {"default_transport": ""}),
        Client(listener) as client,
    ):
        expected = Resolved("user@other.test", DEFAULT, "", "other.test")
        assert client.resolve("user@other.test") == expected
        reply = client.resolve("postmaster")
        assert isinstance(reply, Resolved)
        assert reply.transport == "virtual"


NOTHING_HERE: dict[str, object] = {"virtual_mailbox_domains": []}


@pytest.mark.parametrize(
    ("parameters", "address", "transport", "nexthop"),
    [
        ({}, "x@relayed.test", "inward", "relayed.test"),
        ({"relayhost": "[out.test]"}, "x@relayed.test", "inward", "[out.test]"),
        (
            {"relayhost": "[out.test]", "relay_transport": "inward:[hub.test]"},
            "x@relayed.test",
            "inward",
            "[hub.test]",
        ),
        ({"default_transport": ""}, "x@relayed.test", "inward", "relayed.test"),
        (NOTHING_HERE, "postmaster", "smtp", "posthouse.test"),
        (NOTHING_HERE | {"virtual_transport": ""}, "postmaster", "smtp", "posthouse.test"),
        (NOTHING_HERE | {"relayhost": "[out.test]"}, "postmaster", "smtp", "[out.test]"),
        (
            NOTHING_HERE | {"default_transport": "smtp:[out.test]"},
            "Postmaster@posthouse.test",
            "smtp",
            "[out.test]",
        ),
        (
            NOTHING_HERE | {"default_transport": "", "relay_transport": "inward:[hub.test]"},
            "postmaster",
            "inward",
            "[hub.test]",
        ),
        (
            NOTHING_HERE | {"relay_domains": ["posthouse.test"]},
            "postmaster",
            "inward",
            "posthouse.test",
        ),
    ],
)
def test_what_is_taken_from_anybody_for_other_hosts(
    short_path: Path,
    listener: socket.socket,
    parameters: Mapping[str, object],
    address: str,
    transport: str,
    nexthop: str,
) -> None:
    """The next hop: the transport's own, relayhost, the domain, as relay_transport of Postfix."""
    with start(short_path, listener, parameters), Client(listener) as client:
        reply = client.resolve(address)
        assert isinstance(reply, Resolved)
        assert (reply.domain_class, reply.transport, reply.nexthop) == (RELAY, transport, nexthop)


PIECES = ["a", "@", "%", "!", ":", '"', "\\", ".", " ", "relayed.test", "postmaster"]
LOCAL_PARTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
DOMAINS = st.sampled_from(
    ["relayed.test", "RELAYED.test", "x.relayed.test", "relayed.test.evil.test", "[192.0.2.1]"]
)


@given(local=LOCAL_PARTS, quoted=st.booleans(), route=st.booleans(), domain=DOMAINS)
def test_strangers_reach_the_named_domains_alone(
    local: str, quoted: bool, route: bool, domain: str
) -> None:
    """However an address is dressed up, its class is that of the domain where it ends."""
    parameters = convert({**PARAMETERS, "virtual_mailbox_domains": []}, Parameters)
    text = f'"{local}"@{domain}' if quoted else f"{local}@{domain}"
    try:
        resolved = AddressRules(parameters).resolve(f"@relayed.test:{text}" if route else text)
    except MailError:
        return
    assert resolved.address.rpartition("@")[2] == domain.lower()
    assert resolved.domain_class is (RELAY if domain.lower() == "relayed.test" else DEFAULT)


def test_postmaster_has_a_mailbox_where_a_row_delivers(
    short_path: Path, listener: socket.socket
) -> None:
    parameters = NOTHING_HERE | {"virtual_transport": "rewrite"}  # the one row of this table
    with start(short_path, listener, parameters), Client(listener) as client:
        reply = client.resolve("postmaster")
        assert isinstance(reply, Resolved)
        assert (reply.domain_class, reply.transport) == (VIRTUAL, "rewrite")


@pytest.mark.parametrize("local", ["double-bounce", "Double-BOUNCE", '"double-bounce"'])
def test_answers_to_postmaster_notices_are_discarded(
    short_path: Path, listener: socket.socket, local: str
) -> None:
    """Wherever other mail goes, and from whomever: else a bounce of a bounce would come back."""
    parameters = {"default_transport": "", "virtual_mailbox_domains": ["posthouse.test"]}
    with start(short_path, listener, parameters), Client(listener) as client:
        reply = client.resolve(f"{local}@Posthouse.test")
        assert isinstance(reply, Resolved)
        assert reply.address == f"{local.strip(chr(34))}@posthouse.test"
        assert (reply.domain_class, reply.transport) == (VIRTUAL, "discard")
        assert reply.nexthop == "undeliverable postmaster notification"


def test_garbage_costs_its_own_connection_only(short_path: Path, listener: socket.socket) -> None:
    with start(short_path, listener) as daemon, Client(listener) as client:
        client.resolve("a@b.test")
        with Client(listener) as rogue:
            rogue.send_raw(b"EHLO posthouse.test\r\n")
            assert rogue.hear() is None
        client.resolve("a@b.test")
        assert len(daemon.events("ipc_malformed")) == 1


def test_retiring_says_goodbye(short_path: Path, listener: socket.socket) -> None:
    with start(short_path, listener) as daemon, Client(listener) as client:
        for _ in range(3):
            client.resolve("a@b.test")
        daemon.tell(Command("retire"))
        assert client.hear() == (0, Goodbye(3))
        assert client.hear() is None
        daemon.hear_until(Bye("retired"))
        assert daemon.ended() == 0


def test_idle_client_does_not_keep_the_daemon(short_path: Path, listener: socket.socket) -> None:
    with (
        start(short_path, listener, row={"max_idle": 0.2}) as daemon,
        Client(listener) as client,
    ):
        client.resolve("a@b.test")
        daemon.hear_until(Bye("idle"))
        assert client.hear() == (0, Goodbye(1))
        assert client.hear() is None
        assert daemon.ended() == 0


def test_max_use_counts_requests(short_path: Path, listener: socket.socket) -> None:
    with (
        start(short_path, listener, row={"max_use": 10}) as daemon,
        Client(listener) as client,
    ):
        for number in range(1, 30):
            client.send(number, Resolve("a@b.test"))
        answered, goodbye = 0, 0
        while (heard := client.hear()) is not None:
            number, body = heard
            answered += number > 0
            goodbye = body.last if isinstance(body, Goodbye) else goodbye
        assert goodbye == answered >= 9
        daemon.hear_until(Bye("max_use"))
