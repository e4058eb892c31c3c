"""What strace's record means for the trees.

The law: a call on a path of the trees is understood, or the recording is void. So is one in which a
file's name is used twice, a folder is renamed, or a file is written other than from front to back,
or at an offset. A file is known by its last name, which is unique for ever: queue ids and Maildir
names are random.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from reliability.powercut.operations import (
    Acknowledge,
    Create,
    MakeFolder,
    Operation,
    Recording,
    Remove,
    Rename,
    SetMode,
    SyncFile,
    SyncFolder,
    Take,
    Timed,
    Write,
)
from reliability.powercut.trace import Call, calls, descriptors, octets, strings, texts

__all__ = ["understand"]

_QUEUED: Final = re.compile(rb"^250 2\.0\.0 Ok: queued as (\w+)\r$", re.MULTILINE)
_PLACE: Final = re.compile(r'(?:(?:\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>, )?"((?:\\x[0-9a-f]{2})*)"')
_MODE: Final = re.compile(r", (0[0-7]+)$")
_OFFSET: Final = re.compile(r", (\d+)$")
_WRITES: Final = frozenset({"write", "writev", "pwrite64"})
# Without a folder's descriptor they do not show where a relative path begins.
_BARE: Final = tuple(
    f"{name}("
    for name in (
        *("open", "creat", "mkdir", "rmdir", "rename", "unlink", "link", "symlink", "mknod"),
        *("truncate", "chmod", "chown", "lchown", "utime", "utimes"),
    )
)
_WITHOUT_EFFECT: Final = frozenset(
    {
        "close",
        "fcntl",
        "dup",
        "dup2",
        "dup3",
        "chdir",
        "fchdir",
        "utimensat",
        "execve",
        "close_range",
    }
)


def understand(
    lines: Iterable[str], folder: Path, trees: Iterable[str], folders: Iterable[str]
) -> Recording:
    """The operations on the trees that strace's record shows, all named relative to `folder`.

    `folders` are those that were there before. ValueError tells what was not understood.
    """
    before = frozenset(folders)
    reader = _Reader(folder, tuple(trees), before)
    timed = [
        Timed(operation, call.entered, call.returned)
        for call in sorted(calls(lines, reader.matters), key=lambda call: call.entered)
        if call.result is None or call.result >= 0
        for operation in reader.operations(call)
    ]
    return Recording(before, tuple(timed))


class _Reader:
    """Remembers which file a name belongs to, and how long it is."""

    def __init__(self, folder: Path, trees: tuple[str, ...], folders: frozenset[str]) -> None:
        self._folder = os.fsencode(folder.resolve())
        self._trees = trees
        self._shown = texts(self._folder)
        self._queued = texts("queued as")
        self._delivery = texts('"event":"delivery"')
        self._files: dict[str, int] = {}  # by last name
        self._sizes: list[int] = []
        self._folders = set(folders)

    def matters(self, text: str) -> bool:
        """Whether a line of strace may be about the trees, or what the world is told."""
        return (
            self._shown in text
            or text.startswith((*_BARE, "io_uring_setup("))
            or (text.startswith("write") and (self._queued in text or self._delivery in text))
        )

    def operations(self, call: Call) -> Iterator[Operation]:
        if call.name in _WRITES:
            yield from self._written(call)
        elif call.name == "io_uring_setup":
            # libuv's ring for epoll_ctl has no thread of the kernel; the one for files has.
            if "IORING_SETUP_SQPOLL" in call.arguments:
                raise ValueError("files may have been written through an io_uring")
        elif paths := self._paths(call):
            yield from self._named(call, paths)

    # Writes: what their strings hold are no paths

    def _written(self, call: Call) -> Iterator[Operation]:
        (target,) = descriptors(call.arguments)
        path = self._inside(target.path)
        if path is None:
            yield from self._told(target.path, b"".join(strings(call.arguments)))
            return
        file = self._file(path)
        data = b"".join(strings(call.arguments))
        if call.result is not None:
            data = data[: call.result]
        at_offset = call.name == "pwrite64"
        offset = int(_argument(_OFFSET, call)) if at_offset else self._sizes[file]
        self._sizes[file] = max(self._sizes[file], offset + len(data))
        yield Write(file, offset, data)

    def _told(self, target: bytes, data: bytes) -> Iterator[Operation]:
        if target.startswith(b"socket:"):
            for found in _QUEUED.finditer(data):
                yield Acknowledge(found[1].decode())
        elif target.startswith(b"pipe:") and b'"event":"delivery"' in data:
            line = json.loads(data)
            if line["service"] == "outbound" and line["status"] == "sent":
                yield Take(line["queue_id"], line["to"])

    # Names

    def _named(self, call: Call, paths: list[str]) -> Iterator[Operation]:
        match call.name:
            case "openat" if "O_CREAT" in call.arguments and "O_EXCL" in call.arguments:
                yield self._create(paths[0], _mode(call))
            case "mkdirat" | "mkdir":
                self._folders.add(paths[0])
                yield MakeFolder(paths[0], _mode(call))
            case "renameat" | "rename":
                yield self._rename(*paths)
            case "unlinkat" | "unlink" if "AT_REMOVEDIR" not in call.arguments:
                yield Remove(self._file(paths[0]))
            case "fchmod":
                yield SetMode(self._file(paths[0]), _mode(call))
            case "fsync":
                is_folder = paths[0] in self._folders
                yield SyncFolder(paths[0]) if is_folder else SyncFile(self._file(paths[0]))
            case _ if not self._is_without_effect(call, paths[0]):
                raise ValueError(f"{call.name}({call.arguments[:300]}) on {paths}: unknown effect")

    def _is_without_effect(self, call: Call, path: str) -> bool:
        match call.name:
            case "openat":
                return not re.search("O_CREAT|O_TRUNC|O_TMPFILE", call.arguments)
            case "lseek":
                return path in self._folders
            case "mmap":
                return "MAP_SHARED" not in call.arguments
            case _:
                return call.name in _WITHOUT_EFFECT

    def _create(self, path: str, mode: int) -> Create:
        name = os.path.basename(path)
        if name in self._files:
            raise ValueError(f"{path}: a second file of that name")
        self._files[name] = file = len(self._sizes)
        self._sizes.append(0)
        return Create(file, path, mode)

    def _rename(self, source: str, target: str) -> Rename:
        file = self._file(source)
        self._files[os.path.basename(target)] = file
        return Rename(file, target)

    def _file(self, path: str) -> int:
        try:
            return self._files[os.path.basename(path)]
        except KeyError:
            raise ValueError(f"{path}: a file that nobody made") from None

    def _paths(self, call: Call) -> list[str]:
        """The paths of the trees that a call names, or whose descriptors it has."""
        named = [
            os.path.join(octets(found[1] or texts(self._folder + b"/queue")), octets(found[2]))
            for found in _PLACE.finditer(call.arguments)
        ]
        held = [] if named else [found.path for found in descriptors(call.arguments)]
        return [path for each in (*named, *held) if (path := self._inside(each)) is not None]

    def _inside(self, path: bytes) -> str | None:
        """A path of the trees, relative to the folder that they are in."""
        relative = os.path.relpath(path, self._folder) if path.startswith(b"/") else b".."
        text = os.fsdecode(relative)
        return (
            text
            if any(text == tree or text.startswith(f"{tree}/") for tree in self._trees)
            else None
        )


def _mode(call: Call) -> int:
    return int(_argument(_MODE, call), 8)


def _argument(pattern: re.Pattern[str], call: Call) -> str:
    if not (found := pattern.search(call.arguments)):
        raise ValueError(f"{call.name}({call.arguments[:300]}): an argument is missing")
    return found[1]
