"""Which addresses are this host's own."""

import ipaddress
import socket

import pytest

from mta.util import routes


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("198.51.100.77", False), ("2001:db8::77", False)],
)
def test_the_kernel_knows(address: str, local: bool) -> None:
    assert routes.is_local_address(ipaddress.ip_address(address)) is local


def test_a_kernel_that_cannot_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError

    monkeypatch.setattr(socket, "socket", refuse)
    assert not routes.is_local_address(ipaddress.ip_address("127.0.0.1"))


@pytest.mark.parametrize("reply", [b"", b"short", bytes(64)])
def test_an_answer_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.send(reply)
    monkeypatch.setattr(ours.__class__, "sendto", lambda *_: 0)
    monkeypatch.setattr(socket, "socket", lambda *_: ours)
    with theirs:
        assert not routes.is_local_address(ipaddress.ip_address("127.0.0.1"))
