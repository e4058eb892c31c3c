"""pickup with its maildrop on a file server that fails: nothing is lost, nothing comes twice."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.file_server import NEEDS, FileServer
from support.maildrop import MESSAGE, drop, encoded, put
from support.pickup_house import Pickup
from support.waiting import wait_until

from mta.ipc.messages import Begin, Committed
from mta.master.channel import Bye, Command
from mta.proto.envelope import Origin, Recipient

pytestmark = pytest.mark.requires(*NEEDS)

HOUR = 3600.0
NOBODY = 65534
NewServer = Callable[..., FileServer]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def new_server(short_path: Path, stack: ExitStack) -> Iterator[NewServer]:
    """A server of an empty maildrop; it lets go of everybody before the daemon is stopped."""
    del stack  # whose end comes later
    folder, mount = short_path / "served", short_path / "mounted"
    folder.mkdir()
    folder.chmod(0o3733)
    mount.mkdir()
    with ExitStack() as servers:
        yield lambda **options: servers.enter_context(FileServer(folder, mount, **options))


@pytest.fixture
def server(new_server: NewServer) -> FileServer:
    return new_server()


def new_house(server: FileServer, short_path: Path, stack: ExitStack) -> Pickup:
    (short_path / "queue").mkdir()
    return Pickup(short_path / "queue", stack, maildrop_directory=str(server.mount))


@pytest.fixture
def house(server: FileServer, short_path: Path, stack: ExitStack) -> Pickup:
    house = new_house(server, short_path, stack)
    house.start()
    return house


def hand_in(house: Pickup) -> None:
    """A user of the host sends mail over the socket."""
    begin = Begin(
        "alice", Origin("", "", 0, "", ""), False, (Recipient("bob", "bob"),), MESSAGE, True
    )
    assert isinstance(house.connect().ask(1, begin), Committed)


def taken(house: Pickup, server: FileServer, *names: str) -> None:
    """Wait until these files are gone, as another client of the server sees it."""

    def gone() -> bool:
        house.wake()
        return not set(names) & set(os.listdir(server.folder))

    wait_until(gone, f"no more of {names}", 30.0, interval=0.2)


AWAY = [
    *((operation, False) for operation in ("getattr", "readdir", "open", "read", "unlink")),
    *((operation, True) for operation in ("open", "read", "unlink")),
]


@pytest.mark.parametrize(("operation", "done"), AWAY)
def test_a_server_that_leaves_at_any_step(
    house: Pickup, server: FileServer, operation: str, done: bool
) -> None:
    """Files wait, users of the host are served, and all goes on when it is back."""
    warm = drop(server.folder)
    taken(house, server, warm)
    server.leave(operation, done=done)
    names = [drop(server.folder) for _ in range(3)]
    house.wake()
    server.wait_struck()
    for _ in range(5):
        hand_in(house)
    server.back()
    taken(house, server, *names)
    wait_until(lambda: len(house.events("submitted")) == 9, "the log")
    assert len(house.committed()) == 9
    for event in ("put_off", "not_removed", "set_aside", "maildrop_unusable"):
        assert house.events(event) == []


ERRORS = [
    ("readdir", errno.EIO, False, "maildrop_unusable"),
    ("readdir", errno.ESTALE, False, "maildrop_unusable"),
    ("open", errno.EIO, False, "put_off"),
    ("open", errno.ESTALE, False, "put_off"),
    ("open", errno.ETIMEDOUT, True, "put_off"),
    ("read", errno.EIO, False, "put_off"),
    ("read", errno.ESTALE, False, "put_off"),
    ("unlink", errno.EIO, False, "not_removed"),
    ("unlink", errno.ESTALE, False, "not_removed"),
    ("unlink", errno.EIO, True, "not_removed"),
    ("unlink", errno.ETIMEDOUT, True, "not_removed"),
    ("unlink", errno.ENOENT, True, "submitted"),
]


@pytest.mark.parametrize(("operation", "error", "done", "told"), ERRORS)
def test_an_error_makes_no_copy_and_no_loss(
    house: Pickup, server: FileServer, operation: str, error: int, done: bool, told: str
) -> None:
    """Whether it was done and the answer was lost, or not.

    ESTALE the kernel tries twice, and files are opened side by side.
    """
    times = 2 if error == errno.ESTALE else 1
    server.fail(operation, error, done=done, times=times * (3 if told == "put_off" else 1))
    names = [drop(server.folder) for _ in range(3)]
    house.wake()
    server.wait_struck()
    wait_until(lambda: house.events(told), "the log")
    hand_in(house)
    server.back()
    if told == "put_off":
        house.daemon.tell(Command("retire"))  # another process knows nothing of a pause
        house.daemon.ended()
        house.start()
    taken(house, server, *names)
    assert len(house.committed()) == 4
    assert house.corrupt() == []
    assert not (server.folder / ".corrupt").exists()


def test_squashed_owners_are_nobodys(
    new_server: NewServer, short_path: Path, stack: ExitStack
) -> None:
    """What is told of the sender is what the file server says."""
    server = new_server(squash=True)
    house = new_house(server, short_path, stack)
    name = drop(server.mount)
    house.start()
    taken(house, server, name)
    (message,) = house.committed()
    assert message.begin.origin.helo == str(NOBODY)
    (said,) = wait_until(lambda: house.events("submitted"), "the log")
    assert said["uid"] == NOBODY


@pytest.mark.parametrize("ahead", [30 * HOUR, -30 * HOUR, 40 * HOUR, -40 * HOUR])
def test_another_clock_loses_no_file_in_the_making(
    new_server: NewServer, short_path: Path, stack: ExitStack, ahead: float
) -> None:
    """Old by our clock is not enough: the server's own must say so, too."""
    server = new_server(clock=ahead)
    house = new_house(server, short_path, stack)
    half = put(server.folder, encoded()[:20], ".1-half").name
    house.start()
    for _ in range(2):  # a second round begins when the first is over
        name = drop(server.mount)
        taken(house, server, name)
    assert set(os.listdir(server.folder)) == {half}
    assert house.events("leftover_removed") == []


def test_it_starts_while_the_server_is_away(
    server: FileServer, short_path: Path, stack: ExitStack
) -> None:
    """It serves its socket, and makes room for a process that may use the folder."""
    house = new_house(server, short_path, stack)
    name = drop(server.folder)
    server.leave()
    house.start()
    (told,) = wait_until(lambda: house.events("folder_away"), "the log")
    assert told["directory"] == str(server.mount)
    hand_in(house)
    server.back()
    house.daemon.hear_until(Bye("retired"), 30.0)
    house.daemon.ended()
    house.start()
    taken(house, server, name)
    assert len(house.committed()) == 2
