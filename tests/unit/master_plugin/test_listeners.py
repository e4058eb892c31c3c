"""Listening sockets as a client meets them."""

import fcntl
import os
import socket
import stat
from pathlib import Path

import pytest
from support.ports import free_port

from mta.master.plugin.listeners import inherited_sockets, open_all, open_listener
from mta.util.listen import InetAddress, ListenAddress, PipeAddress, SocketPath

PATH = SocketPath("unix", "public/smtp")


@pytest.fixture(autouse=True)
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("public", "private"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def connects(address: ListenAddress) -> bool:
    if isinstance(address, InetAddress):
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        client = socket.socket(family)
        target: object = (address.host, address.port)
    else:
        assert isinstance(address, SocketPath)
        kind = socket.SOCK_STREAM if address.kind == "unix" else socket.SOCK_SEQPACKET
        client = socket.socket(socket.AF_UNIX, kind)
        target = address.path
    with client:
        try:
            client.connect(target)  # type: ignore[arg-type]
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True


@pytest.mark.parametrize(
    "address",
    [
        InetAddress("127.0.0.1", free_port()),
        InetAddress("::1", free_port()),
        PATH,
        SocketPath("ipc", "private/cleanup"),
    ],
    ids=["ipv4", "ipv6", "unix", "ipc"],
)
def test_an_open_address_takes_clients_and_a_closed_one_does_not(address: ListenAddress) -> None:
    listener = open_listener(address)
    listener.publish()
    assert connects(address)
    assert not os.get_blocking(listener.descriptor)
    assert not os.get_inheritable(listener.descriptor)
    listener.close()
    assert not connects(address)


def test_both_families_share_a_port() -> None:
    port = free_port()
    addresses = [InetAddress("0.0.0.0", port), InetAddress("::", port)]
    opened = open_all(addresses, [], 0)
    assert connects(InetAddress("127.0.0.1", port))
    assert connects(InetAddress("::1", port))
    for listener in opened.values():
        listener.close()


def test_a_unix_socket_has_no_name_before_it_is_published(queue: Path) -> None:
    listener = open_listener(PATH)
    assert not (queue / PATH.path).exists()
    listener.publish()
    assert stat.S_IMODE((queue / PATH.path).stat().st_mode) == 0o666
    assert [entry.name for entry in (queue / "public").iterdir()] == ["smtp"]
    listener.close()
    assert list((queue / "public").iterdir()) == []


def test_an_unpublished_socket_leaves_nothing_behind(queue: Path) -> None:
    open_listener(PATH).close()
    assert list((queue / "public").iterdir()) == []


def test_a_stale_socket_is_replaced_and_a_successor_is_not_unlinked() -> None:
    first = open_listener(PATH)
    first.publish()
    second = open_listener(PATH)
    second.publish()
    first.close()
    assert connects(PATH)
    second.close()


def test_the_writer_of_a_pipe_never_waits() -> None:
    listener = open_listener(PipeAddress("log"))
    assert fcntl.fcntl(listener.writer, fcntl.F_GETPIPE_SZ) >= 65536
    os.write(listener.writer, bytes(2**21))  # more than it holds: a part is taken
    with pytest.raises(BlockingIOError):
        os.write(listener.writer, b"x")
    assert len(os.read(listener.descriptor, 4096)) == 4096
    listener.close()


def test_a_taken_port_names_its_holder_and_opens_nothing(queue: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = InetAddress("127.0.0.1", holder.getsockname()[1])
        with pytest.raises(OSError, match=f"held by {os.getpid()} ") as failure:
            open_all([PATH, taken], [], 0)
    assert str(taken) in str(failure.value)
    assert list((queue / "public").iterdir()) == []


def test_inherited_sockets_are_matched_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as path, socket.socket() as other:
        for listener in (tcp, other):
            listener.bind(("127.0.0.1", 0))
            listener.listen()
        path.bind(PATH.path)
        path.listen()
        inherited = [tcp, other, path]
        address = InetAddress("127.0.0.1", tcp.getsockname()[1])
        descriptors: dict[ListenAddress, int] = {address: tcp.fileno(), PATH: path.fileno()}
        opened = open_all(descriptors, inherited, 0)
        assert {key: opened[key].descriptor for key in opened} == descriptors
        assert inherited == [other]
        for adopted in opened.values():
            adopted.close()
    assert os.path.exists(PATH.path)  # the name is systemd's


@pytest.mark.parametrize(("pid", "count"), [("1", "1"), ("", "1"), ("me", "none")])
def test_descriptors_meant_for_others_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, pid: str, count: str
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if pid == "me" else pid)
    monkeypatch.setenv("LISTEN_FDS", count)
    assert inherited_sockets() == []
    assert "LISTEN_FDS" not in os.environ
