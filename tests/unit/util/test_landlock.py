"""What cannot be seen through a running daemon: other ABIs than this kernel's."""

import os
import struct
from pathlib import Path

import pytest

from mta.util import landlock

CREATE_RULESET, ADD_RULE = 444, 445
REFER, TRUNCATE, IOCTL = 1 << 13, 1 << 14, 1 << 15
CONNECT = 1 << 1


class Kernel:
    """Answers as a kernel of that ABI, and keeps what it was given."""

    def __init__(self, abi: int) -> None:
        self.abi = abi
        self.attributes = b""
        self.size = 0
        self.rules: list[int] = []  # the rights of each

    def system_call(self, number: int, *arguments: int | bytes | None) -> int:
        if number == CREATE_RULESET:
            attributes, size, _ = arguments
            if attributes is None:
                return self.abi
            assert isinstance(attributes, bytes)
            assert isinstance(size, int)
            self.attributes, self.size = attributes, size
            return os.open(os.devnull, os.O_RDONLY)
        if number == ADD_RULE:
            assert isinstance(arguments[2], bytes)
            self.rules.append(struct.unpack_from("=Q", arguments[2])[0])
        return 0


@pytest.mark.parametrize(
    ("abi", "size", "files", "ports", "scopes"),
    [
        (2, 8, (1 << 14) - 1, 0, 0),
        (3, 8, (1 << 15) - 1, 0, 0),
        (4, 16, (1 << 15) - 1, 3, 0),
        (5, 16, (1 << 16) - 1, 3, 0),
        (6, 24, (1 << 16) - 1, 3, 3),
        (99, 24, (1 << 16) - 1, 3, 3),
    ],
)
def test_no_kernel_is_asked_for_what_it_does_not_know(
    abi: int,
    size: int,
    files: int,
    ports: int,
    scopes: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    kernel = Kernel(abi)
    monkeypatch.setattr(landlock, "system_call", kernel.system_call)
    landlock.restrict(read=[], write=[str(tmp_path)], tcp_connect=[25])
    assert kernel.size == size
    assert struct.unpack("=QQQ", kernel.attributes) == (files, ports, scopes)
    written, *connected = kernel.rules
    assert written & ~files == 0
    assert written & REFER
    assert bool(written & TRUNCATE) == (abi >= 3)
    assert not written & IOCTL
    assert connected == ([CONNECT] if abi >= 4 else [])


@pytest.mark.parametrize(("abi", "ports"), [(3, 0), (4, 1)])
def test_where_any_port_may_be_connected_to_none_may_be_bound(
    abi: int, ports: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(abi)
    monkeypatch.setattr(landlock, "system_call", kernel.system_call)
    landlock.restrict(read=[], write=[], tcp_connect=None)
    assert struct.unpack("=QQQ", kernel.attributes)[1] == ports
    assert kernel.rules == []


def test_what_may_be_moved_may_be_made_and_no_device_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel = Kernel(6)
    monkeypatch.setattr(landlock, "system_call", kernel.system_call)
    landlock.restrict(read=[], write=[], move=[str(tmp_path)], tcp_connect=None)
    devices, pipes_sockets_links = 1 << 6 | 1 << 11, 1 << 9 | 1 << 10 | 1 << 12
    assert kernel.rules == [pipes_sockets_links]
    assert not pipes_sockets_links & devices


def test_no_landlock_is_abi_0(monkeypatch: pytest.MonkeyPatch) -> None:
    def system_call(*_: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(landlock, "system_call", system_call)
    assert landlock.landlock_abi() == 0
