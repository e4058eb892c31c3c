"""Who holds a TCP port: for the one error message that every operator meets."""

import ipaddress
import os
from collections.abc import Iterator

from mta.util.listen import InetAddress

__all__ = ["holder_of"]

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp (proc(5))


def holder_of(address: InetAddress) -> str:
    """`, held by PID (COMMAND)`, or nothing where /proc does not tell this user."""
    inodes = set(_listening_inodes(address))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if inodes & set(_socket_inodes(pid)):
            return f", held by {pid} ({_command(pid)})"
    return ""


def _listening_inodes(address: InetAddress) -> Iterator[str]:
    anywhere = ipaddress.ip_address(address.host).is_unspecified
    wanted = ipaddress.ip_address(address.host)
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            host, _, port = fields[1].partition(":")
            if fields[3] != _LISTEN or int(port, 16) != address.port:
                continue
            local = _decode(host)
            if anywhere or local.is_unspecified or local == wanted:
                yield fields[9]


def _decode(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """/proc prints addresses as 32-bit words in the order of a little-endian host."""
    words = [bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8)]
    packed = b"".join(words)
    return ipaddress.IPv4Address(packed) if len(packed) == 4 else ipaddress.IPv6Address(packed)


def _socket_inodes(pid: str) -> Iterator[str]:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # another user's process, or one that has just ended
        return
    for descriptor in descriptors:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[len("socket:[") : -1]


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(200).replace(b"\0", b" ").decode("utf-8", "replace").split()
    except OSError:
        return "?"
    return " ".join(words)
