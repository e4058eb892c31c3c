"""Loop devices and mounts, undone whatever happens.

A device is freed by the kernel with its last user (autoclear): neither a lost mount nor a killed
proof leaves one behind without a file.
"""

import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from support.waiting import wait_until

from reliability.filesystems.filesystems import FileSystem

__all__ = ["MountError", "loop_device", "mounted", "unmount"]

# linux/loop.h
_GET_FREE: Final = 0x4C82
_CONFIGURE: Final = 0x4C0A
_AUTOCLEAR: Final = 4
_DIRECT_IO: Final = 16
_CONFIG: Final = struct.Struct("=II52xI64s64s32s16x64x")  # struct loop_config
_NAME_LIMIT: Final = 63  # octets
_SECTOR: Final = 512
_TRIES: Final = 100


class MountError(Exception):
    """The kernel refused to mount what it found."""


@contextmanager
def loop_device(backing: int, *, direct: bool = False) -> Iterator[str]:
    """A block device over an open file; `direct`: requests go to it side by side, uncached."""
    device, name = _configured(backing, _AUTOCLEAR | (_DIRECT_IO if direct else 0))
    try:
        yield name
    finally:
        os.close(device)


def _configured(backing: int, flags: int) -> tuple[int, str]:
    name = os.readlink(f"/proc/self/fd/{backing}").encode()[:_NAME_LIMIT]
    config = _CONFIG.pack(backing, _SECTOR, flags, name, b"", b"")
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            path = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # somebody else was faster
                    raise
            else:
                return device, path
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no free loop device")


@contextmanager
def mounted(device: str, place: Path, kind: FileSystem) -> Iterator[None]:
    """Mount a device, as an operator would; MountError if the kernel will not."""
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", kind.name, "-o", kind.options, device, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MountError(done.stderr.strip())
    try:
        yield
    finally:
        unmount(place)


def unmount(place: Path) -> None:
    """Unmount, as soon as nobody uses it; at last without the users' consent."""
    try:
        wait_until(lambda: _unmounted(place), f"the unmounting of {place}")
    except AssertionError:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        raise


def _unmounted(place: Path) -> bool:
    done = subprocess.run(["umount", str(place)], capture_output=True, check=False)
    return done.returncode == 0
