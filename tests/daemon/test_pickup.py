"""pickup as users meet it: a real process, its socket and its maildrop, and a played cleanup."""

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.cleanup_house import Peer, refusal
from support.maildrop import MESSAGE, drop, encoded, put
from support.pickup_house import Pickup
from support.tracing import Fault, Trace
from support.waiting import wait_until

from mta.ipc.messages import CONTENT_LIMIT, Begin, Committed, Dropped, Goodbye, More
from mta.master.channel import Command
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import Status

NewPickup = Callable[..., Pickup]
FORGED = Origin("ESMTP", "192.0.2.1", 25, "forged.example", "smtp")


@pytest.fixture
def new_pickup(short_path: Path) -> Iterator[NewPickup]:
    with ExitStack() as stack:
        yield lambda **parameters: Pickup(short_path, stack, **parameters)


@pytest.fixture
def pickup(new_pickup: NewPickup) -> Pickup:
    house = new_pickup()
    house.start()
    return house


def begin(content: bytes = MESSAGE, *to: str, sender: str = "alice", last: bool = True) -> Begin:
    recipients = tuple(Recipient(address, address) for address in to or ("bob",))
    return Begin(sender, FORGED, False, recipients, content, last)


def taken(house: Pickup, *names: str) -> None:
    """Wait until these files are gone."""
    wait_until(lambda: not set(names) & house.files(), f"no more of {names}")


# The socket


def test_a_message_is_handed_in(pickup: Pickup) -> None:
    """The answer is cleanup's; the origin is the kernel's word; addresses are completed."""
    reply = pickup.connect().ask(1, begin())
    assert isinstance(reply, Committed)
    (message,) = pickup.committed()
    assert message.begin.origin == Origin("LOCAL", "", 0, str(os.geteuid()), "pickup")
    assert message.begin.sender == "alice@posthouse.test"
    assert message.recipients == [Recipient("bob@posthouse.test", "bob")]
    assert message.content == MESSAGE
    (said,) = wait_until(lambda: pickup.events("submitted"), "the log")
    assert (said["uid"], said["queue_id"]) == (os.geteuid(), reply.queue_id)


def test_one_connection_takes_many_messages_of_many_frames(pickup: Pickup) -> None:
    client = pickup.connect()
    body = os.urandom(CONTENT_LIMIT).replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"
    for number in (1, 2):
        client.say(number, begin(b"Subject: x\r\n", last=False))
        for _ in range(20):
            client.say(number, More((), body[:CONTENT_LIMIT], last=False))
        assert isinstance(client.ask(number, More((), b"\r\n", last=True)), Committed)
    first, second = pickup.committed()
    assert (
        first.content == second.content == b"Subject: x\r\n" + body[:CONTENT_LIMIT] * 20 + b"\r\n"
    )


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        (b"a\nb", b"a\r\nb\r\n"),
        (b"a\r\nb\rc\r\n", b"a\r\nb c\r\n"),
        (b"a\r\n.\n.\r\nb\r", b"a\r\n.\r\n.\r\nb\r\n"),
        (b"", b""),
    ],
)
def test_line_ends_are_put_right(pickup: Pickup, said: bytes, stored: bytes) -> None:
    """What a user writes ends no line for one host and not for the next (SMTP smuggling)."""
    client = pickup.connect()
    client.say(1, begin(b"", last=False))
    for octet in said:
        client.say(1, More((), bytes([octet]), last=False))
    client.ask(1, More((), b"", last=True))
    (message,) = pickup.committed()
    assert message.content == stored


def test_a_refusal_is_cleanups(pickup: Pickup) -> None:
    pickup.cleanup.refusal = Status(552, "5.3.4", "Message size exceeds fixed limit")
    client = pickup.connect()
    assert refusal(client.ask(1, begin())) == "552 5.3.4"
    pickup.cleanup.refusal = None
    assert isinstance(client.ask(2, begin()), Committed)


def test_who_goes_away_takes_the_message_along(pickup: Pickup) -> None:
    client = pickup.connect()
    client.say(1, begin(b"x" * CONTENT_LIMIT, last=False))
    client.say(1, More((), b"x" * CONTENT_LIMIT, last=False))
    wait_until(lambda: pickup.cleanup.submissions, "the beginning")
    client.close()
    wait_until(lambda: pickup.cleanup.submissions[0].abandoned, "the end")
    assert pickup.committed() == []


@pytest.mark.parametrize(
    "frames", [[More((), b"", last=True)], [begin(last=False), begin()]], ids=["no begin", "two"]
)
def test_who_breaks_the_protocol_is_let_go(pickup: Pickup, frames: list[Begin | More]) -> None:
    client = pickup.connect()
    for frame in frames:
        client.say(1, frame)
    with pytest.raises((EOFError, ConnectionResetError)):
        client.hear()
    assert isinstance(pickup.connect().ask(1, begin()), Committed)


def test_noise_is_let_go(pickup: Pickup) -> None:
    for noise in (b"\x00", b"\x93\x01\x01\xc0", os.urandom(1000)):
        client = pickup.connect()
        client.say_octets(noise)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.hear()


def test_a_user_cannot_take_all_places(new_pickup: NewPickup) -> None:
    """Who is beyond the limit is told to go elsewhere; a place that is free is free."""
    house = new_pickup(pickup_user_concurrency_limit=2)
    house.start()
    clients = [house.connect() for _ in range(2)]
    for client in clients:
        assert isinstance(client.ask(1, begin()), Committed)
    beyond = house.connect()
    assert beyond.hear() == (0, Goodbye(0))
    (told,) = wait_until(lambda: house.events("caller_limit"), "the log")
    assert told["uid"] == os.geteuid()
    clients[0].close()
    wait_until(lambda: _is_served(house.connect()), "a free place")


def _is_served(client: Peer) -> bool:
    try:
        client.say(1, begin())
        return isinstance(client.hear()[1], Committed)
    except (EOFError, ConnectionResetError, BrokenPipeError):
        return False
    finally:
        client.close()


def test_who_may_not_submit_hears_so(new_pickup: NewPickup) -> None:
    """Over the socket at once; the sender of a file gets it back. Root is not excepted."""
    house = new_pickup(authorized_submit_users=[])
    house.start()
    assert refusal(house.connect().ask(1, begin())) == "550 5.7.1"
    name = drop(house.maildrop)
    house.wake()
    taken(house, name)
    (report,) = house.committed()
    assert b"is not allowed to submit mail" in report.content
    assert len(house.corrupt()) == 1


def test_a_full_disk_refuses_and_keeps_files(new_pickup: NewPickup) -> None:
    house = new_pickup(queue_minfree=2**49)
    name = drop(house.maildrop)
    house.start()
    assert refusal(house.connect().ask(1, begin())) == "452 4.3.1"
    wait_until(lambda: house.events("maildrop_unusable"), "the log")
    assert house.files() == {name}


# The maildrop


def test_a_file_is_taken_when_it_starts_and_when_it_is_woken(new_pickup: NewPickup) -> None:
    house = new_pickup()
    first = drop(house.maildrop, recipients=["bob", "carol@example.org"], sender="alice")
    house.start()
    taken(house, first)
    (message,) = house.committed()
    assert message.begin.origin == Origin("LOCAL", "", 0, str(os.geteuid()), "pickup")
    assert message.begin.sender == "alice@posthouse.test"
    assert [each.address for each in message.recipients] == [
        "bob@posthouse.test",
        "carol@example.org",
    ]
    assert message.content == MESSAGE
    second = drop(house.maildrop, sender="")
    house.wake()
    taken(house, second)
    assert house.committed()[1].begin.sender == ""


def test_a_client_says_that_there_is_a_file(pickup: Pickup) -> None:
    client = pickup.connect()
    for number in (1, 2):
        name = drop(pickup.maildrop)
        client.say(number, Dropped())
        taken(pickup, name)
    assert isinstance(client.ask(3, begin()), Committed)


def test_a_large_file_is_streamed(pickup: Pickup) -> None:
    content = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 200_000
    name = drop(pickup.maildrop, content)
    pickup.wake()
    taken(pickup, name)
    (message,) = pickup.committed()
    assert message.content == content


def test_what_cleanup_puts_off_stays_and_is_tried_again(new_pickup: NewPickup) -> None:
    house = new_pickup()
    house.cleanup.refusal = Status(451, "4.3.0", "Temporary lookup failure")
    name = drop(house.maildrop)
    house.start()
    wait_until(lambda: house.events("put_off"), "the log")
    assert house.files() == {name}
    house.cleanup.refusal = None
    house.daemon.tell(Command("retire"))
    house.daemon.ended()
    house.start()
    taken(house, name)


def test_what_cleanup_refuses_goes_back_to_its_sender(new_pickup: NewPickup) -> None:
    """And the file is kept where an operator finds it."""
    house = new_pickup()
    house.cleanup.refusal = Status(554, "5.4.6", "Too many hops")
    content = b"Subject: round and round\r\n\r\nText\r\n"
    drop(house.maildrop, content)
    house.start()
    wait_until(lambda: house.events("set_aside"), "the end")
    (report,) = house.committed()
    assert report.begin.sender == ""
    assert [each.address for each in report.recipients] == ["alice@example.org"]
    for part in (b"5.4.6", b"bob@posthouse.test", b"Subject: round and round"):
        assert part in report.content
    assert house.files() == set()
    (kept,) = house.corrupt()
    assert content in kept.read_bytes()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("", b""),
        ("", b"noise"),
        ("", encoded()[:-1]),
        ("", encoded()[:-1] + b"x"),
        ("", encoded().replace(b"Text", b"Test")),
        ("", os.urandom(100_000)),
        ("a" * 255, encoded()),
        ("README", b"who reads this"),
        ("new\nline", b""),
        ("\udcff", b""),
    ],
    ids=["empty", "noise", "short", "end", "changed", "random", "long", "name", "line", "octet"],
)
def test_what_sendmail_did_not_write_is_set_aside(
    new_pickup: NewPickup, name: str, data: bytes
) -> None:
    house = new_pickup()
    put(house.maildrop, data, name)
    good = drop(house.maildrop)
    house.start()
    taken(house, good)
    wait_until(lambda: house.events("set_aside"), "the log")
    assert house.files() == set()
    (kept,) = house.corrupt()
    assert kept.read_bytes() == data
    assert len(house.committed()) == 1


def test_no_link_is_followed_and_nothing_strange_is_opened(
    new_pickup: NewPickup, tmp_path: Path
) -> None:
    """Not even where it has a name that sendmail might have given it."""
    house = new_pickup()
    victim = put(tmp_path, encoded())
    name = drop(house.maildrop)
    (house.maildrop / name).rename(tmp_path / "taken")
    (house.maildrop / name).symlink_to(victim)
    (house.maildrop / "link").symlink_to("/etc/passwd")
    os.mkfifo(house.maildrop / "fifo")
    (house.maildrop / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(house.maildrop / "socket"))
    good = drop(house.maildrop)
    house.start()
    taken(house, good)
    wait_until(lambda: not house.files(), "an empty folder")
    kinds = sorted(stat.S_IFMT(path.lstat().st_mode) for path in house.corrupt())
    assert kinds == sorted((stat.S_IFLNK,) * 2 + (stat.S_IFIFO, stat.S_IFDIR, stat.S_IFSOCK))
    assert victim.read_bytes() == encoded()
    assert len(house.committed()) == 1


def test_a_file_of_two_names_is_set_aside(new_pickup: NewPickup, short_path: Path) -> None:
    house = new_pickup()
    name = drop(house.maildrop)
    os.link(house.maildrop / name, short_path / "other")
    house.start()
    wait_until(lambda: house.events("set_aside"), "the log")
    assert house.committed() == []
    assert (short_path / "other").exists()


def test_a_huge_file_costs_nothing(new_pickup: NewPickup) -> None:
    house = new_pickup(message_size_limit=10_000)
    path = put(house.maildrop, b"")
    os.truncate(path, 2**40)
    house.start()
    wait_until(lambda: house.events("set_aside"), "the log")
    assert house.files() == set()


@pytest.mark.requires("root")
def test_what_cannot_be_moved_stays_and_is_told_once(new_pickup: NewPickup) -> None:
    """A device: the sandbox does not let it be made anew."""
    house = new_pickup()
    os.mknod(house.maildrop / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    house.start()
    wait_until(lambda: house.events("not_moved"), "the log")
    for _ in range(3):
        name = drop(house.maildrop)
        house.wake()
        taken(house, name)
    assert len(house.events("not_moved")) == 1
    assert house.files() == {"device"}


def test_files_in_the_making_are_left_alone(new_pickup: NewPickup) -> None:
    house = new_pickup()
    put(house.maildrop, encoded(), ".1-half")
    (house.maildrop / ".folder").mkdir()
    good = drop(house.maildrop)
    house.start()
    taken(house, good)
    assert house.files() == {".1-half", ".folder"}
    assert house.events("set_aside") == []


# A file server that fails


FAULTS = (
    (Fault("openat", "error=ESTALE"), "put_off"),
    (Fault("openat", "error=EIO"), "put_off"),
    (Fault("pread64", "error=EIO"), "put_off"),
    (Fault("unlinkat", "error=ESTALE"), "not_removed"),
    (Fault("unlinkat", "error=EIO"), "not_removed"),
)


@pytest.mark.requires("strace")
@pytest.mark.parametrize(("fault", "told"), FAULTS, ids=str)
def test_a_failing_file_server_makes_no_copy_and_no_loss(
    new_pickup: NewPickup, tmp_path: Path, fault: Fault, told: str
) -> None:
    house = new_pickup()
    house.start()
    warm = drop(house.maildrop)
    house.wake()
    taken(house, warm)
    with Trace(house.daemon.process.pid, tmp_path / "trace", fault.calls, fault):
        names = [drop(house.maildrop) for _ in range(3)]
        house.wake()
        wait_until(
            lambda: house.events(told) or house.events("maildrop_unusable"), "a failure", 20.0
        )
    if told == "put_off":
        house.daemon.tell(Command("retire"))  # another process knows nothing of a pause
        house.daemon.ended()
        house.start()
    wait_until(lambda: _gone(house, names), "all of it", 30.0, interval=0.2)
    assert len(house.committed()) == 4


def _gone(house: Pickup, names: list[str]) -> bool:
    house.wake()
    return not set(names) & house.files()


@pytest.mark.requires("strace")
def test_a_lost_answer_to_a_removal_is_one_that_was_made(
    new_pickup: NewPickup, tmp_path: Path
) -> None:
    """The server has removed the file, and answers the repeated request that there is none."""
    house = new_pickup()
    house.start()
    lost = Fault("unlinkat", "error=ENOENT")
    with Trace(house.daemon.process.pid, tmp_path / "trace", lost.calls, lost):
        name = drop(house.maildrop)
        house.wake()
        wait_until(lambda: house.events("submitted"), "the message")
    assert house.events("not_removed") == []
    assert name in house.files()  # the instrument's doing


@pytest.mark.requires("strace")
def test_a_file_server_that_is_away_holds_up_no_caller(
    new_pickup: NewPickup, tmp_path: Path
) -> None:
    house = new_pickup()
    house.start()
    hanging = Fault("getdents64", "delay_enter=30s", "1+")
    with Trace(house.daemon.process.pid, tmp_path / "trace", hanging.calls, hanging):
        name = drop(house.maildrop)
        house.wake()
        for number in range(20):
            assert isinstance(house.connect().ask(1, begin(b"%d" % number)), Committed)
        assert house.files() == {name}
    taken(house, name)


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder on a file system of its own, as a file server's is."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    folder.chmod(0o3733)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_on_another_file_system_keeps_what_is_strange(
    new_pickup: NewPickup, in_memory: Path
) -> None:
    """A rename does not lead into the queue from there, and nothing is copied."""
    house = new_pickup(maildrop_directory=str(in_memory))
    put(in_memory, b"noise", "strange")
    (in_memory / "link").symlink_to("/etc/passwd")
    good = drop(in_memory)
    house.start()
    taken(house, good, "strange", "link")
    assert len(house.committed()) == 1
    kept = [*house.corrupt(), *in_memory.glob(".corrupt/*")]
    assert sorted(path.is_symlink() for path in kept) == [False, True]
