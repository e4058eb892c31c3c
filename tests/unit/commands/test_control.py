"""What commands ask of the master, and how they take every kind of answer."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.master_double import MasterDouble, status_of

from mta.commands.control import Control
from mta.commands.failure import ControlError, MasterBusyError, NotRunningError


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    """A queue directory whose sockets no plain address can name."""
    path = tmp_path / ("q" * 200)
    (path / "pid").mkdir(parents=True)
    return path


@pytest.fixture
def broken_master(queue: Path) -> Iterator[socket.socket]:
    """A socket that accepts and does not answer."""
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(queue, os.O_PATH)
        listener.bind(f"/proc/self/fd/{folder}/pid/supervisor.sock")
        os.close(folder)
        listener.listen()
        yield listener


def fails(text: str) -> Callable[..., object]:
    def method(*_: object) -> object:
        raise OSError(text)

    return method


def test_status_and_reload(queue: Path) -> None:
    changes = {"opened": ["inet:127.0.0.1:25"]}
    changes |= {key: [] for key in ("closed", "added", "removed", "retired")}
    status = status_of(7, smtp="running")
    with MasterDouble(queue, status=lambda: status, reload=lambda _: changes) as master:
        found = Control(str(queue)).status()
        assert (found.generation, found.services[0].name) == (7, "smtp")
        assert not found.draining
        assert Control(str(queue)).reload(8).opened == ("inet:127.0.0.1:25",)
    assert master.calls == [("status",), ("reload", 8)]


def test_nobody_there(queue: Path) -> None:
    with pytest.raises(NotRunningError, match="not running in"):
        Control(str(queue)).status()
    with pytest.raises(NotRunningError):
        Control(f"{queue}/missing").status()


def test_socket_that_a_killed_master_left(queue: Path) -> None:
    with MasterDouble(queue):
        pass
    assert (queue / "pid" / "supervisor.sock").exists()
    with pytest.raises(NotRunningError):
        Control(str(queue)).status()


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (
            "BAD_NAME: the service table has no row x",
            ControlError,
            "the service table has no row x",
        ),
        ("SHUTDOWN_STATE: the master is stopping", MasterBusyError, "the master is stopping"),
        ("SHUTDOWN_STATE", MasterBusyError, "the master is starting or stopping"),
        ("FAILED", ControlError, "FAILED"),
    ],
)
def test_faults_are_the_masters_own_words(
    queue: Path, fault: str, kind: type[ControlError], text: str
) -> None:
    with (
        MasterDouble(queue, restart=fails(fault)),
        pytest.raises(ControlError) as caught,
    ):
        Control(str(queue)).restart("x")
    assert type(caught.value) is kind
    assert str(caught.value) == text


@pytest.mark.parametrize("answer", [[], "text", {"generation": "one"}, {"generation": 1}])
def test_answer_that_is_not_understood(queue: Path, answer: object) -> None:
    with (
        MasterDouble(queue, status=lambda: answer),
        pytest.raises(ControlError, match="not understood"),
    ):
        Control(str(queue)).status()


@pytest.mark.usefixtures("broken_master")
def test_master_that_does_not_answer(queue: Path) -> None:
    with pytest.raises(MasterBusyError, match=r"did not answer within 0\.1 s"):
        Control(str(queue), timeout=0.1).status()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<", b"\n"])
def test_master_that_dies_in_the_middle(
    queue: Path, broken_master: socket.socket, answer: bytes
) -> None:
    def serve() -> None:
        with contextlib.suppress(OSError):  # the end of the test
            while True:  # the client library may try a second time
                client, _ = broken_master.accept()
                with client:
                    client.recv(65536)
                    client.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with pytest.raises(ControlError, match="in the middle of an answer"):
            Control(str(queue), timeout=5).status()
    finally:
        broken_master.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_master_is_whoever_holds_the_lock(queue: Path) -> None:
    control = Control(str(queue))
    assert control.master() is None
    with MasterDouble(queue):
        assert control.master() == os.getpid()
    assert control.master() is None  # the file is there still, with its number
