"""A file server that fails as it is told: the program of `support.file_server`.

python -m support.distant_folder FOLDER MOUNT [--squash] [--clock SECONDS]

A folder is shown at another place, through the kernel's own client (FUSE; mfusepy speaks to
libfuse): so whoever waits for an answer waits in the kernel, as with NFS that is mounted hard. Each
line of standard input is a Fault or `back`; each is answered with the number of faults that struck.

The law: a request that comes while the server is away is done when it is back, as a client repeats
it until then; one that was done before may be answered with an error all the same.
"""

import argparse
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import mfusepy
import msgspec
from msgspec import Struct

__all__ = ["BACK", "Fault"]

Found = TypeVar("Found")

BACK: Final = "back"
NOBODY: Final = 65534
_NANOSECONDS: Final = 1_000_000_000
_FLAGS: Final = os.O_ACCMODE | os.O_TRUNC
_STATUS: Final = ("st_mode", "st_nlink", "st_size", "st_ino")
_TIMES: Final = ("atime", "mtime", "ctime")


class Fault(Struct, frozen=True):
    """What befalls the next requests of one kind; no `error`: nobody answers from then on.

    `operation` is FUSE's name, or empty for one of any kind. `times` counts for errors.
    """

    operation: str = ""
    error: int = 0
    done: bool = False  # the request is carried out first
    times: int = 1


class _Moods:
    """What the server does instead of answering."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._away = False
        self._faults: list[Fault] = []
        self._struck = 0

    def order(self, line: bytes) -> int:
        """Take an order; how many faults have struck."""
        with self._changed:
            if line.strip() == BACK.encode():
                self._away = False
                self._faults.clear()
            elif line.strip():
                fault = msgspec.json.decode(line, type=Fault)
                if fault.operation:
                    self._faults += [fault] * fault.times
                else:
                    self._away = True
            self._changed.notify_all()
            return self._struck

    def answer(self, operation: str, path: str, work: Callable[[], Found]) -> Found:
        """Do a request's work, with whatever is to befall it."""
        fault = self._befalling(operation, path)
        if fault is not None and not fault.done:
            self._strike(fault)
        self._wait()
        found = work()
        if fault is not None and fault.done:
            self._strike(fault)
            self._wait()
        return found

    def _befalling(self, operation: str, path: str) -> Fault | None:
        with self._changed:
            for fault in self._faults:
                if fault.operation == operation and (operation != "getattr" or path != "/"):
                    self._faults.remove(fault)
                    return fault
            return None

    def _strike(self, fault: Fault) -> None:
        with self._changed:
            self._struck += 1
            if not fault.error:
                self._away = True
                return
        raise mfusepy.FuseOSError(fault.error)

    def _wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._away)


class _Folder(mfusepy.Operations):  # type: ignore[misc] # it has no types
    """The folder, shown."""

    use_ns = True

    def __init__(self, folder: str, moods: _Moods, squash: bool, clock: float) -> None:
        self._folder = folder
        self._moods = moods
        self._squash = squash
        self._ahead = round(clock * _NANOSECONDS)

    def _at(self, path: str) -> str:
        return self._folder + path

    def _owner(self, owner: int) -> int:
        return NOBODY if self._squash else owner

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        found = self._moods.answer("getattr", path, lambda: os.lstat(self._at(path)))
        shown = {name: getattr(found, name) for name in _STATUS}
        for name in _TIMES:
            shown[f"st_{name}"] = getattr(found, f"st_{name}_ns") + self._ahead
        # The folder itself is the hub's, as a server exports it.
        owner = found.st_uid if path == "/" else self._owner(found.st_uid)
        return shown | {"st_uid": owner, "st_gid": found.st_gid}

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        names = self._moods.answer("readdir", path, lambda: os.listdir(self._at(path)))
        return iter((".", "..", *names))

    def create(self, path: str, mode: int, fi: Any = None) -> int:  # noqa: ANN401 - as inherited
        uid, _, _ = mfusepy.fuse_get_context()

        def work() -> int:
            descriptor = os.open(self._at(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
            os.fchown(descriptor, self._owner(uid), -1)
            return descriptor

        return self._moods.answer("create", path, work)

    def open(self, path: str, flags: int) -> int:
        return self._moods.answer(
            "open", path, lambda: os.open(self._at(path), flags & _FLAGS | os.O_NOFOLLOW)
        )

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return self._moods.answer("read", path, lambda: os.pread(fh, size, offset))

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return self._moods.answer("write", path, lambda: os.pwrite(fh, data, offset))

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        self._moods.answer("fsync", path, lambda: os.fsync(fh))

    def flush(self, path: str, fh: int) -> int:
        return self._moods.answer("flush", path, lambda: 0)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def chmod(self, path: str, mode: int) -> None:
        self._moods.answer("chmod", path, lambda: os.chmod(self._at(path), mode))

    def mkdir(self, path: str, mode: int) -> None:
        self._moods.answer("mkdir", path, lambda: os.mkdir(self._at(path), mode))

    def unlink(self, path: str) -> None:
        self._moods.answer("unlink", path, lambda: os.unlink(self._at(path)))

    def rename(self, old: str, new: str) -> None:
        self._moods.answer("rename", old, lambda: os.rename(self._at(old), self._at(new)))


def main() -> None:
    """Serve until it is unmounted, or killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("mount")
    parser.add_argument("--squash", action="store_true")
    parser.add_argument("--clock", type=float, default=0.0)
    options = parser.parse_args()
    moods = _Moods()
    os.umask(0)

    def obey() -> None:
        for line in sys.stdin.buffer:
            print(moods.order(line), flush=True)

    threading.Thread(target=obey, daemon=True).start()
    mfusepy.FUSE(
        _Folder(options.folder, moods, options.squash, options.clock),
        options.mount,
        foreground=True,
        allow_other=True,
        # A server that squashes owners judges by its own, and its clients do not judge at all.
        default_permissions=not options.squash,
        # Each request reaches the server: nothing is remembered, no name kept for an open file.
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        direct_io=True,
        hard_remove=True,
    )


if __name__ == "__main__":
    main()
