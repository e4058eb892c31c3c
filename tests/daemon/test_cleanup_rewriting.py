"""What cleanup does with addresses, as the queue shows it; a script answers for rewrite."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.cleanup_house import ORIGIN, Cleanup, begin, recipients, refusal
from support.scripted_service import ScriptedService
from support.waiting import wait_until

from mta.ipc.messages import (
    AddressRole,
    Begin,
    Committed,
    Expand,
    Expanded,
    Message,
    More,
    Refused,
    Rewrite,
    RewriteRequest,
    Rewritten,
)
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import Status

LOCAL = Origin("ESMTP", "127.0.0.1", 40000, "client.example", "smtp")
REPORT = Origin("", "", 0, "", "bounce")
OLD = ["texthash:/etc/old"]  # nobody opens it here
HEADER = b"Date: today\r\nMessage-ID: <a@b.example>\r\n"
FIELDS = (
    b'From: "A, B" <alice@old.test>\r\n'
    b"To: bob@old.test (Bob),\r\n\tcarol, alice@old.test\r\n"
    b"Subject: alice@old.test\r\n"
)
FAILED = Status(451, "4.3.0", "A table is out of order")
Pairs = list[tuple[str, str]]


def answer(request: Rewrite | Expand, _: list[int]) -> Message:
    """old.test becomes new.test; team@old.test is three people; fail@ is a table out of order."""
    address = request.address
    if address.startswith("fail@"):
        return Refused(FAILED, "texthash:/etc/old: no such file")
    if address.startswith("bad@"):
        return Refused(Status(550, "5.1.3", "Bad address syntax"))
    new = address.replace("old.test", "new.test")
    if isinstance(request, Rewrite):
        copy = "archive@new.test" if request.role is AddressRole.ENVELOPE_SENDER else ""
        return Rewritten(new, 1, copy)
    if address.startswith("team@"):
        all_of_them = [f"{each}@new.test" for each in ("ann", "ben", "cat")]
        found = all_of_them[request.first : request.first + 2]
        return Expanded(tuple(found), request.first == 0, 1, "team-archive@old.test")
    if address.startswith("nobody@"):
        return Expanded((), False, 1)
    return Expanded((new,), False, 1)


class House:
    """cleanup, and the script that it asks."""

    def __init__(self, folder: Path, stack: ExitStack, **parameters: object) -> None:
        self.cleanup = Cleanup(folder, stack, **parameters)
        self.script = ScriptedService[Rewrite | Expand](
            folder, "private/rewrite", RewriteRequest, answer
        )
        stack.enter_context(self.script)

    def take(
        self, *to: str, sender: str = "alice@old.test", origin: Origin = ORIGIN, header: bytes = b""
    ) -> Message:
        pairs = tuple(Recipient(each, f"{each} as given") for each in to)
        content = HEADER + header + b"\r\nalice@old.test\r\n"
        return self.cleanup.connect().ask(1, Begin(sender, origin, False, pairs, content, True))

    def asked(self) -> list[str]:
        return [
            f"{it.role.value} {it.address}" if isinstance(it, Rewrite) else f"expand {it.address}"
            for it in self.script.requests
        ]


NewHouse = Callable[..., House]


@pytest.fixture
def new_house(short_path: Path) -> Iterator[NewHouse]:
    with ExitStack() as stack:
        yield lambda **parameters: House(short_path, stack, **parameters)


BOB: Pairs = [("bob@old.test", "bob@old.test as given")]


@pytest.mark.parametrize(
    ("parameters", "to", "sender", "stored"),
    [
        ({}, ["bob@old.test"], "alice@old.test", BOB),
        (
            {"canonical_maps": OLD},
            ["bob@old.test"],
            "alice@new.test",
            [
                ("bob@new.test", "bob@old.test as given"),
                ("archive@new.test", "archive@new.test"),
            ],
        ),
        (
            {"sender_canonical_maps": OLD},
            ["bob@old.test"],
            "alice@new.test",
            [*BOB, ("archive@new.test", "archive@new.test")],
        ),
        (
            {"virtual_alias_maps": OLD},
            ["team@old.test", "bob@old.test", "bob@old.test"],
            "alice@old.test",
            [
                ("ann@new.test", "team@old.test as given"),
                ("ben@new.test", "team@old.test as given"),
                ("cat@new.test", "team@old.test as given"),
                ("bob@new.test", "bob@old.test as given"),
                ("team-archive@new.test", "team-archive@old.test"),
            ],
        ),
        (
            {"always_bcc": "all@old.test"},
            ["bob@old.test"],
            "alice@old.test",
            [*BOB, ("all@new.test", "all@old.test")],
        ),
    ],
    ids=["nothing", "canonical", "sender canonical", "alias", "always_bcc"],
)
def test_the_envelope(
    new_house: NewHouse, parameters: dict[str, object], to: list[str], sender: str, stored: Pairs
) -> None:
    house = new_house(**parameters)
    message, content = house.cleanup.stored(house.take(*to, header=FIELDS))
    assert message.envelope.sender == sender
    assert [(it.address, it.original) for it in message.envelope.recipients] == stored
    assert content.endswith(HEADER + FIELDS + b"\r\nalice@old.test\r\n")
    assert bool(house.asked()) == bool(parameters)


def test_the_trace_names_nobody_whom_a_table_added(new_house: NewHouse) -> None:
    house = new_house(always_bcc="all@old.test")
    _, content = house.cleanup.stored(house.take("bob@old.test"))
    assert b"for <bob@old.test>;" in content
    assert b"all@" not in content


def test_a_report_gets_no_copy_but_its_address_is_rewritten(new_house: NewHouse) -> None:
    house = new_house(always_bcc="all@old.test", canonical_maps=OLD)
    reply = house.take("team@old.test", sender="", origin=REPORT)
    message, _ = house.cleanup.stored(reply)
    assert message.envelope.sender == ""
    assert [it.address.partition("@")[0] for it in message.envelope.recipients] == [
        "ann",
        "ben",
        "cat",
    ]
    assert house.asked() == ["expand team@old.test"] * 2


COMPLETED = FIELDS.replace(b"carol", b"carol@posthouse.test")
REWRITTEN = (
    COMPLETED.replace(b"<alice@old", b"<alice@new")
    .replace(b"bob@old", b"bob@new")
    .replace(b", alice@old", b", alice@new")
)
REMOTE = FIELDS.replace(b"carol", b"carol@domain.invalid")


@pytest.mark.parametrize(
    ("parameters", "origin", "header"),
    [
        ({}, ORIGIN, FIELDS),
        ({}, LOCAL, COMPLETED),
        ({}, REPORT, COMPLETED),
        ({"myorigin": "site.test"}, LOCAL, COMPLETED.replace(b"posthouse", b"site")),
        ({"local_header_rewrite_clients": ["192.0.2.0/24"]}, ORIGIN, COMPLETED),
        ({"local_header_rewrite_clients": ["192.0.2.0/24"]}, LOCAL, FIELDS),
        ({"remote_header_rewrite_domain": "domain.invalid"}, ORIGIN, REMOTE),
        ({"remote_header_rewrite_domain": "domain.invalid"}, LOCAL, COMPLETED),
        ({"canonical_maps": OLD}, ORIGIN, FIELDS),
        ({"canonical_maps": OLD}, LOCAL, REWRITTEN),
        ({"masquerade_domains": ["old.test"]}, LOCAL, REWRITTEN),
        ({"virtual_alias_maps": OLD}, LOCAL, COMPLETED),
    ],
)
def test_the_header(
    new_house: NewHouse, parameters: dict[str, object], origin: Origin, header: bytes
) -> None:
    house = new_house(**parameters)
    _, content = house.cleanup.stored(house.take("bob@old.test", origin=origin, header=FIELDS))
    assert content.endswith(HEADER + header + b"\r\nalice@old.test\r\n")


def test_each_address_of_the_header_is_asked_about_once(new_house: NewHouse) -> None:
    house = new_house(canonical_maps=OLD)
    house.cleanup.stored(house.take("bob@old.test", origin=LOCAL, header=FIELDS * 2))
    assert [each for each in house.asked() if each.startswith("header")] == [
        "header_sender alice@old.test",
        "header_recipient bob@old.test",
        "header_recipient carol@posthouse.test",
        "header_recipient alice@old.test",
    ]


def test_only_a_domain_without_a_dot_is_asked_about_where_no_table_is(
    new_house: NewHouse,
) -> None:
    house = new_house(append_dot_mydomain=True)
    house.cleanup.stored(house.take("bob@old.test", origin=LOCAL, header=FIELDS + b"Cc: a@b\r\n"))
    assert house.asked() == ["header_recipient a@b"]


@pytest.mark.parametrize(
    ("to", "sender", "header"),
    [
        (["bob@old.test", "fail@old.test"], "alice@old.test", b""),
        (["bob@old.test"], "fail@old.test", b""),
        (["bob@old.test"], "alice@old.test", b"Cc: fail@old.test\r\n"),
        (["nobody@old.test"], "", b""),
        (["bob@old.test", "bad@old.test"], "alice@old.test", b""),
    ],
    ids=["recipient", "sender", "header", "no recipient is left", "no address"],
)
def test_what_cannot_be_known_puts_the_whole_message_off(
    new_house: NewHouse, to: list[str], sender: str, header: bytes
) -> None:
    house = new_house(canonical_maps=OLD)
    reply = house.take(*to, sender=sender, origin=LOCAL, header=header)
    assert refusal(reply).partition(" ")[0] in ("450", "451")
    house.cleanup.stored(house.take("bob@old.test"))  # the daemon goes on
    assert len(house.cleanup.files()) == 1


def test_content_that_comes_meanwhile_waits(new_house: NewHouse) -> None:
    house = new_house(canonical_maps=OLD)
    may_answer = threading.Event()

    def late(request: Rewrite | Expand, descriptors: list[int]) -> Message:
        assert may_answer.wait(10)
        return answer(request, descriptors)

    house.script.answer = late
    client = house.cleanup.connect()
    client.say(1, begin(HEADER + b"\r\n", to=recipients(2), last=False))
    client.say(1, More((), b"one\r\n", last=False))
    client.say(1, More((), b"two\r\n", last=True))
    wait_until(lambda: house.script.requests, "a question")
    assert house.cleanup.files() == []
    may_answer.set()
    number, reply = client.hear()
    assert number == 1
    _, content = house.cleanup.stored(reply)
    assert content.endswith(b"\r\n\r\none\r\ntwo\r\n")


def test_a_client_that_goes_away_takes_its_unfinished_message_with_it(
    new_house: NewHouse,
) -> None:
    house = new_house(canonical_maps=OLD)
    client = house.cleanup.connect()
    client.say(1, begin(HEADER + b"\r\n", to=recipients(2), last=False))
    client.close()
    wait_until(lambda: house.script.requests, "a question")
    assert isinstance(house.take("bob@old.test"), Committed)
    wait_until(lambda: len(house.cleanup.files()) == 1, "one message alone")
