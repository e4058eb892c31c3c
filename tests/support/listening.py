"""What processes listen on, as the kernel has it: /proc, never a status report."""

import ipaddress
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from support.processes import Process

__all__ = ["tcp_listeners"]

_LISTEN: Final = "0A"  # TCP_LISTEN of net/tcp_states.h
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]\Z")


def tcp_listeners(processes: Iterable[Process]) -> set[str]:
    """HOST:PORT of every TCP socket on which one of the processes listens."""
    held = {inode for process in processes for inode in _sockets(process.pid)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and fields[9] in held:
                found.add(_address(fields[1]))
    return found


def _sockets(pid: int) -> set[str]:
    inodes = set()
    with suppress(FileNotFoundError):  # it has just ended
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                if match := _SOCKET.match(os.readlink(entry.path)):
                    inodes.add(match[1])
    return inodes


def _address(text: str) -> str:
    """The kernel writes an address as words of 32 bits in the machine's order."""
    host, _, port = text.partition(":")
    octets = bytes.fromhex(host)
    words = [octets[at : at + 4][::-1] for at in range(0, len(octets), 4)]
    return f"{ipaddress.ip_address(b''.join(words))}:{int(port, 16)}"
