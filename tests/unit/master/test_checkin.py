"""Check-in: what a new process makes of what it is told, and of lies."""

import json
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.master.channel import Bye, Checkin, Command, encode, pair
from mta.master.checkin import Birth, CheckinError, check_in, receive_checkin

Channel = tuple[socket.socket, socket.socket]


@pytest.fixture
def channel() -> Iterator[Channel]:
    ours, theirs = pair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def told(
    channel: Channel, listeners: tuple[str, ...], *descriptors: int, log: bool = True
) -> Birth:
    ours, theirs = channel
    checkin = Checkin(7, "smtp", "smtp_003", listeners, log)
    socket.send_fds(ours, [encode(checkin)], descriptors)
    return receive_checkin(theirs, 5)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_check_in(channel: Channel, listener: socket.socket) -> None:
    reader, writer = os.pipe()
    name = "inet:127.0.0.1:2525"
    birth = told(channel, (name, "pipe:log"), writer, listener.fileno(), reader)
    assert (birth.generation, birth.service, birth.process) == (7, "smtp", "smtp_003")
    assert [one.name for one in birth.listeners] == [name, "pipe:log"]
    assert [one.is_pipe for one in birth.listeners] == [False, True]
    mine = [birth.log, *(one.descriptor for one in birth.listeners)]
    for descriptor, origin in zip(mine, (writer, listener.fileno(), reader), strict=True):
        assert os.path.samestat(os.fstat(descriptor), os.fstat(origin))
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)
    os.close(reader)
    os.close(writer)


def test_without_a_log_there_is_stderr(channel: Channel) -> None:
    assert told(channel, (), log=False).log == 2


def test_a_silent_master_has_a_deadline(channel: Channel) -> None:
    with pytest.raises(CheckinError, match=r"no check-in within 0\.1 s"):
        receive_checkin(channel[1], 0.1)


def test_a_master_that_is_gone(channel: Channel) -> None:
    channel[0].close()
    with pytest.raises(CheckinError, match="the master is gone"):
        receive_checkin(channel[1], 5)


@pytest.mark.parametrize("packet", [Bye("idle"), Command("wake")])
def test_the_first_packet_is_a_check_in(channel: Channel, packet: Bye | Command) -> None:
    channel[0].send(encode(packet))
    with pytest.raises(CheckinError, match="expected a check-in"):
        receive_checkin(channel[1], 5)


@pytest.mark.parametrize(("extra", "missing"), [(1, 0), (0, 1)])
def test_descriptors_are_counted_and_none_is_left_open(
    channel: Channel, listener: socket.socket, extra: int, missing: int
) -> None:
    descriptors = [listener.fileno()] * (2 + extra - missing)
    before = open_descriptors()
    with pytest.raises(CheckinError, match="expected 2 descriptors"):
        told(channel, ("inet:127.0.0.1:25",), *descriptors)
    assert open_descriptors() == before


@pytest.mark.parametrize(
    "name",
    ["inet:[::1]:25", "unix:private/x", "ipc:private/x", "pipe:log", "nonsense", "unix:../x"],
)
def test_a_descriptor_must_be_what_its_name_says(
    channel: Channel, listener: socket.socket, name: str
) -> None:
    before = open_descriptors()
    with pytest.raises(CheckinError, match=r"listener|something else"):
        told(channel, (name,), listener.fileno(), log=False)
    assert open_descriptors() == before


def test_a_socket_that_does_not_listen_is_no_listener(channel: Channel) -> None:
    with socket.socket() as idle, pytest.raises(CheckinError, match="something else"):
        told(channel, ("inet:127.0.0.1:25",), idle.fileno(), log=False)


@given(
    st.binary(min_size=1, max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(["version", "type", "generation", "service", "listeners", "log"]),
                inner,
            )
            | st.lists(inner, max_size=3)
        ),
        max_leaves=10,
    ).map(lambda body: json.dumps(body).encode())
)
def test_garbage_is_refused_in_one_way(data: bytes) -> None:
    ours, theirs = pair()
    with ours, theirs:
        ours.send(data)
        with pytest.raises(CheckinError):
            receive_checkin(theirs, 5)


def test_stdio() -> None:
    birth = check_in(["--stdio", "--generation", "4"], {})
    assert birth == Birth(generation=4, service="", process="stdio", stdio=True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--stdio"], "--stdio needs --generation N"),
        (["--stdio", "--generation", "x"], "invalid literal"),
        (["--stdio", "--generation", "-1"], "--stdio needs --generation N"),
        (["--what"], "not recognized"),
    ],
)
def test_wrong_arguments_are_explained(arguments: list[str], reason: str) -> None:
    with pytest.raises(CheckinError, match=reason):
        check_in(arguments, {})


@pytest.mark.parametrize("count", ["", "0", "-1", "65", "x"])
def test_listen_fds_is_checked(count: str) -> None:
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "OTHER": "stays"}
    with pytest.raises(CheckinError, match="LISTEN_FDS"):
        check_in(["--generation", "1", "--service", "smtp"], environment)
    assert environment == {"OTHER": "stays"}


def test_listen_fds_of_another_process_are_not_ours() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    saved = os.dup(0)
    os.dup2(null, 0)
    try:
        with pytest.raises(CheckinError, match="fd 0 is no channel"):
            check_in([], {"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(null)
