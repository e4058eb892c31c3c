"""What else can lie in a queue: whatever a file system can hold, under every sort of name.

Under the name of a message it is set aside as what it is; where it cannot be moved, and under
another name, it stays and is told of once. In hold/ and corrupt/ nobody touches it.
"""

import os
import random
import socket
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from support.instance import separated

from mta.queue.layout import State
from mta.queue.queue_id import ALPHABET, new_queue_id
from reliability.corruption.case import Case, Fate
from reliability.corruption.octets import MODELS, Message, write_complete

__all__ = ["strange_files", "strange_names"]

_RESTING: Final[tuple[State, ...]] = ("hold", "corrupt")

Make = Callable[[Path, bytes], None]  # from a whole queue file's octets


def _link(path: Path, _: bytes, target: str) -> None:
    path.symlink_to(target)


def _link_to_whole(path: Path, octets: bytes) -> None:
    """A message that would be delivered if links were followed."""
    target = path.with_name(f"{path.name}.target")
    write_complete(target, octets)
    path.symlink_to(target)


def _hard_link(path: Path, octets: bytes) -> None:
    other = path.with_name(f"{path.name}.other")
    write_complete(other, octets)
    os.link(other, path)


def _folder(path: Path, _: bytes) -> None:
    path.mkdir()
    _give(path)


def _full_folder(path: Path, octets: bytes) -> None:
    _folder(path, octets)
    write_complete(path / path.name, octets)


def _pipe(path: Path, _: bytes) -> None:
    os.mkfifo(path, 0o700)
    _give(path)


def _socket(path: Path, _: bytes) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:  # whose path may have 107 octets
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    _give(path)


def _endless(path: Path, octets: bytes) -> None:
    write_complete(path, octets)
    os.truncate(path, 1 << 33)


def _device(path: Path, _: bytes) -> None:
    os.mknod(path, stat.S_IFCHR | 0o700, os.makedev(1, 5))  # NULs for ever


def _file_of_root(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    path.chmod(0o700)


def _folder_of_root(path: Path, octets: bytes) -> None:
    path.mkdir()
    _file_of_root(path / path.name, octets)


def _give(path: Path) -> None:
    """To the queue's owner, whom the folder belongs to."""
    if separated():
        found = path.parent.stat()
        os.chown(path, found.st_uid, found.st_gid)


_KINDS: Final[dict[str, tuple[Fate, Make]]] = {
    "link to a whole file": (Fate.CORRUPT, _link_to_whole),
    "link to /etc/passwd": (Fate.CORRUPT, partial(_link, target="/etc/passwd")),
    "link to a folder": (Fate.CORRUPT, partial(_link, target="/")),
    "link to nothing": (Fate.CORRUPT, partial(_link, target="nowhere")),
    "link to itself": (Fate.CORRUPT, lambda path, _: path.symlink_to(path.name)),
    "hard link": (Fate.CORRUPT, _hard_link),
    "folder": (Fate.CORRUPT, _folder),
    "full folder": (Fate.CORRUPT, _full_folder),
    "pipe": (Fate.CORRUPT, _pipe),
    "socket": (Fate.CORRUPT, _socket),
    "empty file": (Fate.CORRUPT, lambda path, _: write_complete(path, b"")),
    "mode 0": (Fate.CORRUPT, partial(write_complete, mode=0)),
    "mode 0755": (Fate.CORRUPT, partial(write_complete, mode=0o755)),
    "mode 4700": (Fate.CORRUPT, partial(write_complete, mode=0o4700)),
    "8 GiB of journal": (Fate.CORRUPT, _endless),
}
# What only root can make; a folder of others cannot be moved, and a device must not be.
_OF_ROOT: Final[dict[str, tuple[Fate, Make]]] = {
    "file of root": (Fate.CORRUPT, _file_of_root),
    "full folder of root": (Fate.STUCK, _folder_of_root),
    "device": (Fate.STUCK, _device),
}

_NAMES: Final = (
    "README",
    "00",
    "0/README",
    "0/.hidden",
    "0/line\nbreak",
    "0/\udcff\udcfe",
    "0/\x1b[2J",
    "0/" + "x" * 255,
    "0/" + "0" * 21,
    "0/" + "0" * 23,
    "0/" + "a" * 21 + "0",
    "0/" + "0" * 22 + ".tmp",
)


def strange_files(source: random.Random, states: Iterable[State]) -> Iterator[Case]:
    """One of each kind in each of the states."""
    kinds = _KINDS | (_OF_ROOT if separated() else {})
    for state in states:
        for kind, (fate, make) in kinds.items():
            yield _case(kind, Fate.IGNORED if state in _RESTING else fate, state, make, source)
        if state == "deferred":
            half = partial(write_complete, mode=0o600)
            yield _case("half written, in deferred/", Fate.CORRUPT, state, half, source)


def strange_names(source: random.Random, state: State) -> Iterator[Case]:
    """Names that are no queue ids, or do not belong where they are."""
    for name in (*_NAMES, _astray(source)):
        message = Message.new(MODELS[0], source)
        make: Make = write_complete if "/" in name else _folder
        made = partial(_make_with, make, message.octets)
        yield Case("foreign name", Fate.TOLD, state, name, made, {}, notifiable=False)


def _astray(source: random.Random) -> str:
    """A queue id in the subfolder of another last character."""
    queue_id = new_queue_id(time.time(), source.randbytes(8))
    return f"{source.choice([digit for digit in ALPHABET if digit != queue_id[-1]])}/{queue_id}"


def _case(kind: str, fate: Fate, state: State, make: Make, source: random.Random) -> Case:
    message = Message.new(MODELS[0], source)
    made = partial(_make_with, make, message.octets)
    return Case(kind, fate, state, message.queue_id, made, {}, notifiable=fate is not Fate.IGNORED)


def _make_with(make: Make, octets: bytes, path: Path) -> None:
    make(path, octets)
