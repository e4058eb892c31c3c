"""showq as its clients see it: a real process over a real queue, and a played queue manager."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from support.queue_files import CONTENT, defer, enqueue, make_envelope
from support.showq_house import ShowqHouse
from support.users import STRANGER, attempt_as
from support.waiting import wait_until

from mta.ipc.client import Unavailable
from mta.ipc.connection import encode
from mta.ipc.messages import Accepted, Flush, FlushDomain, Listed, ListQueue, QueuedMessage
from mta.ipc.showq import ShowqClient
from mta.proto.status import MailError
from mta.queue.layout import path_of
from mta.queue.store import QueueStore
from mta.util.landlock import landlock_abi

PLACES = 8  # of one user: mta.daemons.showq.handler


@pytest.fixture
def house() -> Iterator[ShowqHouse]:
    with ShowqHouse() as running:
        yield running


def client(house: ShowqHouse) -> ShowqClient:
    return ShowqClient(20.0, str(house.directory / "public/showq"))


def listed(house: ShowqHouse) -> list[QueuedMessage]:
    return [message for part in client(house).listing() for message in part.messages]


def damage(queue: QueueStore, queue_id: str) -> None:
    descriptor = os.open(path_of("incoming", queue_id), os.O_WRONLY, dir_fd=queue.descriptor)
    os.pwrite(descriptor, b"\xff" * 16, 0)
    os.close(descriptor)


def test_the_list(house: ShowqHouse) -> None:
    """All that waits, by age, with what is left and why."""
    new, later, held = enqueue(house.queue), defer(house.queue), enqueue(house.queue)
    house.queue.move(held, "incoming", "hold")
    messages = listed(house)
    assert [each.queue_id for each in messages] == sorted([new, later, held])
    found = {each.queue_id: each for each in messages}
    assert [found[each].state for each in (new, later, held)] == ["incoming", "deferred", "hold"]
    assert (found[new].size, found[new].sender) == (len(CONTENT), "sender@example.org")
    assert [each.address for each in found[new].recipients] == [
        f"user{number}@posthouse.test" for number in range(3)
    ]
    assert [(each.address, each.status) for each in found[later].recipients] == [
        ("user1@posthouse.test", "450 4.2.0 Busy"),
        ("user2@posthouse.test", ""),
    ]
    assert (found[later].attempts, found[later].reason) == (2, "450 4.2.0 Busy")
    (told,) = wait_until(lambda: house.daemon.events("listed"), "the log")
    assert (told["uid"], told["messages"], told["damaged"]) == (os.geteuid(), 3, 0)


def test_an_empty_queue(house: ShowqHouse) -> None:
    assert list(client(house).listing()) == [Listed((), more=False)]


def test_damaged_files_are_counted_and_left_alone(house: ShowqHouse) -> None:
    sound, broken = enqueue(house.queue), enqueue(house.queue)
    damage(house.queue, broken)
    (part,) = client(house).listing()
    assert [each.queue_id for each in part.messages] == [sound]
    assert part.damaged == 1
    assert house.queue.due("incoming", broken) > 0


def test_a_message_for_many_comes_in_pieces(house: ShowqHouse) -> None:
    queue_id = enqueue(house.queue, envelope=make_envelope(5000))
    pieces = listed(house)
    assert {piece.queue_id for piece in pieces} == {queue_id}
    assert sum(len(piece.recipients) for piece in pieces) == 5000
    (told,) = wait_until(lambda: house.daemon.events("listed"), "the log")
    assert told["messages"] == 1


def test_who_does_not_read_holds_up_nobody(house: ShowqHouse) -> None:
    """Others get their lists, and he gets his when he reads."""
    for _ in range(60):
        enqueue(house.queue, envelope=make_envelope(200))
    with ExitStack() as stack:
        slow = [stack.enter_context(house.new_client()) for _ in range(PLACES - 2)]
        for each in slow:
            house.send_over(each, ListQueue())
        assert len({message.queue_id for message in listed(house)}) == 60
        found, more = set(), True
        while more:
            part = house.hear_any(slow[0])
            found |= {message.queue_id for message in part.messages}
            more = part.more
    assert len(found) == 60


def test_who_hangs_up_frees_his_place(house: ShowqHouse) -> None:
    """In the middle of a list that he did not read, too."""
    for _ in range(60):
        enqueue(house.queue, envelope=make_envelope(200))
    for _ in range(3 * PLACES):
        with closing(house.new_client()) as hasty:
            house.send_over(hasty, ListQueue())
            house.hear_any(hasty)
    assert len({message.queue_id for message in wait_until(lambda: heard(house), "a place")}) == 60


def heard(house: ShowqHouse) -> list[QueuedMessage]:
    """The list, or nothing while there is no place."""
    try:
        return listed(house)
    except Unavailable:
        return []


def test_a_user_cannot_take_all_places(house: ShowqHouse) -> None:
    with ExitStack() as stack:
        for _ in range(PLACES - 1):  # the house has one of its own
            stack.enter_context(house.new_client())
        with pytest.raises(Unavailable):
            listed(house)
        (told,) = wait_until(lambda: house.daemon.events("caller_limit"), "the log")
        assert told["uid"] == os.geteuid()
    enqueue(house.queue)
    wait_until(lambda: heard(house), "a place")


def test_messages_are_tried_now(house: ShowqHouse) -> None:
    queue_id = enqueue(house.queue)
    assert client(house).flush(queue_id) == 1
    assert client(house).flush() == 1
    assert house.flushed() == [queue_id, ""]


def test_a_domain_is_tried_now(house: ShowqHouse) -> None:
    """What is on hold is not, nor what is for others."""
    waiting, held = enqueue(house.queue), enqueue(house.queue)
    house.queue.move(held, "incoming", "hold")
    assert client(house).flush_domain("PostHouse.test") == 1
    assert client(house).flush_domain("elsewhere.test") == 0
    assert house.flushed() == [waiting]


def test_no_queue_manager(house: ShowqHouse) -> None:
    (house.directory / "public/qmgr").unlink()
    with pytest.raises(MailError) as raised:
        client(house).flush()
    assert raised.value.status.is_temporary


@pytest.mark.parametrize("frame", [b"\x00", b"\x93\x01\x01\xc0", encode(1, Accepted(1))])
def test_noise_is_let_go(house: ShowqHouse, frame: bytes) -> None:
    with closing(house.new_client()) as noisy:
        noisy.send(frame)
        assert noisy.recv(100) == b""
    assert listed(house) == []


@pytest.mark.parametrize("request_", [Flush("B" * 21 + "/"), FlushDomain("a b")])
def test_what_is_out_of_bounds_is_let_go(house: ShowqHouse, request_: Flush | FlushDomain) -> None:
    with closing(house.new_client()) as noisy:
        noisy.send(encode(1, request_))
        assert noisy.recv(100) == b""
    assert house.flushed() == []


@pytest.mark.skipif(landlock_abi() < 2, reason="this kernel has no Landlock")
def test_it_reads_and_never_writes(house: ShowqHouse) -> None:
    """A file that it could not read does not end it; nothing in the queue has changed."""
    queue_id = enqueue(house.queue)
    before = os.stat(path_of("incoming", queue_id), dir_fd=house.queue.descriptor)
    listed(house)
    after = os.stat(path_of("incoming", queue_id), dir_fd=house.queue.descriptor)
    assert before == after


ASKED = "(lambda it: [it.send({frame!r}), it.recv(65536)])(connect('public/showq'))"


@pytest.mark.requires("root")
@pytest.mark.parametrize(
    ("request_", "parameter", "act"),
    [
        (ListQueue(), "authorized_mailq_users", b"view the mail queue"),
        (Flush(), "authorized_flush_users", b"flush the mail queue"),
        (FlushDomain("posthouse.test"), "authorized_flush_users", b"flush the mail queue"),
    ],
)
def test_who_is_on_no_list(
    request_: ListQueue | Flush | FlushDomain, parameter: str, act: bytes
) -> None:
    """By the kernel's word; root is on every list."""
    asked = ASKED.format(frame=encode(1, request_))
    with ShowqHouse(**{parameter: ["!nobody", "!unknown", "static:all"]}) as house:
        (house.directory / "public/showq").chmod(0o666)
        for user in ("nobody", STRANGER):
            name = "nobody" if user == "nobody" else "unknown"
            heard = attempt_as(user, asked, house.directory)
            assert f"User {name}(" in heard
            assert f"is not allowed to {act.decode()}" in heard
        assert "not allowed" not in attempt_as("daemon", asked, house.directory)
        assert "not allowed" not in attempt_as("root", asked, house.directory)
