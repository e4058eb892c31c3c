"""The rewrite daemon with tables that change, fail, or have to be waited for."""

import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from support.own_master import DaemonProcess, write_snapshot
from support.scripted_service import ScriptedService, listen_ipc

from mta.ipc.connection import encode
from mta.ipc.messages import (
    FRAME_LIMIT,
    AddressRole,
    Expand,
    Expanded,
    Find,
    Found,
    LookupRequest,
    Message,
    Refused,
    Resolve,
    Resolved,
    Rewrite,
    RewriteReply,
    Rewritten,
)
from mta.proto.status import Status

LISTENER = "ipc:private/rewrite"
AWAY = Status(451, "4.3.0", "Temporary lookup failure")
Reply = Resolved | Rewritten | Expanded


class House:
    """The daemon and one client of it."""

    def __init__(self, directory: Path, parameters: Mapping[str, object]) -> None:
        self._listener = listen_ipc(directory, "private/rewrite")
        row = {"name": "rewrite", "daemon": "rewrite", "listen": [LISTENER]}
        write_snapshot(
            directory,
            row,
            parameters={"virtual_mailbox_domains": [], "ipc_timeout": 5, **parameters},
        )
        self.daemon = DaemonProcess(
            ["-m", "mta.daemons.rewrite"],
            directory,
            [(LISTENER, self._listener.fileno())],
            service="rewrite",
        )
        self.client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.client.settimeout(20)
        self.client.connect(self._listener.getsockname())
        self._number = 0

    def close(self) -> None:
        """End it."""
        self.client.close()
        self.daemon.__exit__(None, None, None)
        self._listener.close()

    def ask(self, request: Message) -> Reply | Refused:
        """What it answers."""
        asked = self.begin(request)
        number, reply = self.hear()
        assert number == asked
        assert isinstance(reply, Reply | Refused)
        return reply

    def begin(self, request: Message) -> int:
        """Ask, and leave the answer to `hear`; the number of the question."""
        self._number += 1
        self.client.send(encode(self._number, request))
        return self._number

    def hear(self) -> tuple[int, Message]:
        """The next answer with its number."""
        data = self.client.recv(FRAME_LIMIT)
        _, number, body = msgspec.msgpack.decode(data, type=tuple[int, int, RewriteReply])
        return number, body

    def expand(self, address: str) -> tuple[list[str], int]:
        """All frames of an expansion, and how many they are."""
        found: list[str] = []
        frames, more = 0, True
        while more:
            reply = self.ask(Expand(address, len(found)))
            assert isinstance(reply, Expanded)
            found += reply.addresses
            frames, more = frames + 1, reply.more
        return found, frames


@pytest.fixture
def house(short_path: Path) -> Iterator[House]:
    """Aliases in a text, `aliases`, in the daemon's folder."""
    (short_path / "aliases").write_text("a@b.test  c@d.test\n")
    table = f"texthash:{short_path / 'aliases'}"
    limit = 100_000
    house = House(
        short_path, {"virtual_alias_maps": [table], "virtual_alias_expansion_limit": limit}
    )
    yield house
    house.close()


def replace(path: Path, text: str) -> None:
    """Put another text in a table's place, as editors do."""
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def test_a_table_that_changes_vanishes_and_comes_back(house: House, short_path: Path) -> None:
    """Without a reload, and with its sandbox around it."""
    aliases = short_path / "aliases"
    first = house.ask(Expand("a@b.test"))
    assert isinstance(first, Expanded)
    assert first.addresses == ("c@d.test",)
    replace(aliases, "a@b.test  e@f.test\n")
    second = house.ask(Expand("a@b.test"))
    assert isinstance(second, Expanded)
    assert second.addresses == ("e@f.test",)
    assert second.epoch != first.epoch
    aliases.unlink()
    refused = house.ask(Expand("a@b.test"))
    assert isinstance(refused, Refused)
    assert refused.status == AWAY
    assert str(aliases) in refused.reason
    # What needs no table is answered all the while.
    assert isinstance(house.ask(Rewrite("a@b.test", AddressRole.ENVELOPE_SENDER)), Rewritten)
    replace(aliases, "a@b.test  g@h.test\n")
    assert house.expand("a@b.test") == (["g@h.test"], 1)


def test_a_hundred_thousand_recipients(house: House, short_path: Path) -> None:
    """In frames, each of which fits; other clients have their turn meanwhile."""
    groups = range(50)
    lines = [f"all@b.test  {','.join(f'g{group}@b.test' for group in groups)}"]
    for group in groups:
        members = ",".join(f"u{group}-{number}@member.test" for number in range(1999))
        lines.append(f"g{group}@b.test  {members}")
    replace(short_path / "aliases", "\n".join(lines) + "\n")
    long, short = house.begin(Expand("all@b.test")), house.begin(Resolve("x@y.test"))
    assert [house.hear()[0] for _ in range(2)] == [short, long]
    found, frames = house.expand("all@b.test")
    assert len(set(found)) == len(found) == 50 * 1999
    assert frames > 50


def test_aliases_without_end(house: House, short_path: Path) -> None:
    replace(short_path / "aliases", "a@b.test  c@b.test\nc@b.test  a@b.test\n")
    refused = house.ask(Expand("a@b.test"))
    assert isinstance(refused, Refused)
    assert refused.status == Status(451, "4.6.0", "Alias expansion error")
    assert refused.reason.startswith("virtual_alias_maps: a@b.test: ")


SERVED = {"canonical_maps": ["socketmap:unix:/nonexistent:canonical"]}


def test_nobody_waits_for_anothers_look_up(short_path: Path) -> None:
    """A database that takes its time is the matter of those alone who ask for what it has."""
    may_answer = threading.Event()

    def answer(request: Find, _: object) -> Message:
        if "slow@b.test" in [key.text for key in request.keys]:
            may_answer.wait(20)
            return Found(0, "found@b.test")
        return Found(-1, "")

    with ScriptedService(short_path, "private/lookup", LookupRequest, answer) as lookup:
        house = House(short_path, SERVED)
        try:
            slow = house.begin(Rewrite("slow@b.test", AddressRole.HEADER_SENDER))
            resolved = house.begin(Resolve("x@y.test"))
            assert house.hear()[0] == resolved
            may_answer.set()
            number, reply = house.hear()
            assert (number, getattr(reply, "address", "")) == (slow, "found@b.test")
        finally:
            house.close()
    first = lookup.requests[0]
    assert (first.row, first.parameter) == ("rewrite", "canonical_maps")
    assert [key.text for key in first.keys] == ["slow@b.test", "@b.test"]


@pytest.mark.parametrize("kind", ["refuses", "is not there"])
def test_a_lookup_service_that_fails(short_path: Path, kind: str) -> None:
    """Nothing is known then, and nothing is taken for unknown."""
    parameters = {**SERVED, "ipc_timeout": 1} if kind == "is not there" else SERVED
    reason = "socketmap: the server is away"
    service = ScriptedService(
        short_path,
        "private/lookup" if kind == "refuses" else "private/elsewhere",
        LookupRequest,
        lambda _request, _descriptors: Refused(AWAY, reason),
    )
    with service:
        house = House(short_path, parameters)
        try:
            reply = house.ask(Rewrite("a@b.test", AddressRole.ENVELOPE_SENDER))
        finally:
            house.close()
    assert isinstance(reply, Refused)
    assert reply.status.code == 451
    assert kind == "is not there" or (reply.status, reply.reason) == (AWAY, reason)
