"""The file systems that are tried, each made and mounted as its distribution does by default.

`sector` is what the file system expects of a drive: that many octets, aligned, are written as a
whole or not at all.
"""

import subprocess
from dataclasses import dataclass
from typing import Final

from support.waiting import wait_until

__all__ = ["FILE_SYSTEMS", "FileSystem", "forget", "inspect", "make"]

_SHOWN: Final = 1000  # characters


@dataclass(frozen=True)
class FileSystem:
    """How one is made, mounted and inspected: behind each command the device follows."""

    name: str
    make: tuple[str, ...]
    options: str  # of mount
    inspect: tuple[str, ...]  # only looks, and ends with 0 when all is well
    forget: tuple[str, ...] = ()
    sector: int = 512


# Discards are left out: they would only make the images larger or slower.
FILE_SYSTEMS: Final = (
    FileSystem("ext4", ("mkfs.ext4", "-q", "-E", "nodiscard"), "defaults", ("e2fsck", "-fn")),
    FileSystem("xfs", ("mkfs.xfs", "-q", "-K"), "nouuid", ("xfs_repair", "-n")),
    FileSystem(
        "btrfs",
        ("mkfs.btrfs", "-q", "-K"),
        "nodiscard",
        ("btrfs", "check", "--readonly"),
        ("btrfs", "device", "scan", "--forget"),
        # Its superblock is one sector of 4 KiB under one checksum: torn, nothing mounts it.
        sector=4096,
    ),
)


def make(kind: FileSystem, device: str) -> None:
    """Make a file system on a device."""
    subprocess.run([*kind.make, device], check=True, capture_output=True)


def inspect(kind: FileSystem, device: str) -> str:
    """What the file system's own tool says when it finds something wrong; or nothing."""
    done = subprocess.run([*kind.inspect, device], capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}"[-_SHOWN:] if done.returncode else ""


def forget(kind: FileSystem, device: str) -> None:
    """Let the kernel forget a device that comes no more: btrfs knows them by their content.

    A mount namespace that was copied just now may have it mounted for a moment longer.
    """
    if kind.forget:
        wait_until(lambda: _succeeds(*kind.forget, device), f"{kind.name}'s leave of {device}")


def _succeeds(*command: str) -> bool:
    return not subprocess.run(command, capture_output=True, check=False).returncode
