"""smtp_generic_maps: what other hosts see of a message, and what its queue file still holds."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mta.delivery.client.generic import Appearance, GenericMaps
from mta.delivery.content import ContentReader
from mta.ipc.messages import AddressRole, Deliver, DeliverRecipient, Rewritten
from mta.ipc.rewrite import RewriteClient
from mta.proto.status import MailError, Status

BODY = b"\r\nFrom: alice@home.lan\r\n" + b"x" * 200_000
HEADER = b"Received: by h\r\nFrom: A <alice@home.lan>\r\nTo: bob@x.test,\r\n\tcarol@home.lan\r\n"


class Script(RewriteClient):
    """home.lan becomes isp.test; fail@ has no answer, bad@ is none."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def rewrite(self, address: str, role: AddressRole) -> Rewritten:
        assert role is AddressRole.GENERIC
        self.asked.append(address)
        if address.startswith("fail@"):
            raise MailError(Status(451, "4.3.0", "A table is out of order"))
        if address.startswith("bad@"):
            raise MailError(Status(550, "5.1.3", "Bad address syntax"))
        return Rewritten(address.replace("home.lan", "isp.test"), 1)


See = Callable[..., Appearance]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def see(tmp_path: Path, script: Script) -> Iterator[See]:
    path = tmp_path / "file"
    opened = []

    def appearance(
        content: bytes, *to: str, sender: str = "alice@home.lan", limit: int = 10_000
    ) -> Appearance:
        path.write_bytes(b"envelope" + content)
        opened.append(os.open(path, os.O_RDONLY))
        pairs = tuple(DeliverRecipient(number, each, each) for number, each in enumerate(to))
        request = Deliver("B" * 22, sender, pairs, "x.test", 0.0, 8, len(content))
        reader = ContentReader(opened[-1], 8, len(content))
        return asyncio.run(GenericMaps(script, limit).appearance(request, reader))

    yield appearance
    for descriptor in opened:
        os.close(descriptor)


def test_envelope_and_header_change_and_the_body_does_not(see: See, script: Script) -> None:
    seen = see(HEADER + BODY, "bob@x.test", "carol@home.lan")
    assert seen.of("alice@home.lan") == "alice@isp.test"
    assert [seen.of(each) for each in ("bob@x.test", "carol@home.lan", "")] == [
        "bob@x.test",
        "carol@isp.test",
        "",
    ]
    expected = HEADER.replace(b"home.lan", b"isp.test") + BODY
    assert seen.content.whole() == expected
    assert seen.content.length == len(expected)
    assert script.asked == ["alice@home.lan", "bob@x.test", "carol@home.lan"]


def test_a_reader_of_its_own_reads_the_same(see: See) -> None:
    seen = see(HEADER + BODY)
    own = seen.content.duplicate()
    assert own.whole() == seen.content.whole()
    assert max(map(len, own.chunks(10))) == 10
    own.close()


def test_nothing_changes_where_no_table_has_an_address(see: See) -> None:
    content = b"From: a@x.test\r\n" + BODY
    seen = see(content, "b@x.test", sender="")
    assert seen.addresses == {}
    assert seen.content.whole() == content


@pytest.mark.parametrize(
    ("content", "to", "limit", "status"),
    [
        (HEADER, "fail@x.test", 10_000, "451 4.3.0"),
        (b"Cc: fail@x.test\r\n\r\n", "b@x.test", 10_000, "451 4.3.0"),
        (HEADER, "bad@x.test", 10_000, "450 4.1.3"),
    ],
)
def test_what_is_not_known_waits(
    see: See, content: bytes, to: str, limit: int, status: str
) -> None:
    with pytest.raises(MailError, match=status):
        see(content, to, limit=limit)


def test_a_header_that_outgrows_its_limit_waits(see: See, script: Script) -> None:
    async def grow(address: str, role: AddressRole) -> Rewritten:
        return Rewritten("x" * 60 + "@isp.test", 1)

    script.rewrite = grow  # type: ignore[method-assign]
    with pytest.raises(MailError, match=r"451 4\.3\.4"):
        see(b"To: " + b"a@b," * 500 + b"\r\n\r\n", "b@x.test", limit=1024)


def test_beyond_the_limit_fields_stay(see: See) -> None:
    """The limit was higher when the message came: it goes out, and no field is torn."""
    first = b"From: alice@home.lan\r\n"
    rest = b"To: " + b"alice@home.lan,\r\n\t" * 500 + b"\r\n\r\nbody"
    assert see(first + rest, limit=1024).content.whole() == b"From: alice@isp.test\r\n" + rest
