"""A small real file system, mounted where a test wants it: filled, read-only, and gone afterwards.

It is an ext4 in a file on a loop device, and needs root. What `fill` takes, `free` gives back.
"""

import os
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from support.waiting import wait_until

__all__ = ["BLOCK", "SmallDisk", "mounted"]

BLOCK: Final = 1024  # octets
_MEGABYTE: Final = 2**20
_BALLAST: Final = ".ballast"
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


class SmallDisk:
    """The file system at `place`, a folder that is empty; a context."""

    def __init__(self, place: Path, image: Path, *, megabytes: int, inodes: int) -> None:
        self.place = place
        self._image = image
        self._ballast = place / _BALLAST
        self._stack = ExitStack()
        with image.open("wb") as file:
            file.truncate(megabytes * _MEGABYTE)
        quiet = ("-q", "-m", "0", "-E", "lazy_itable_init=0,nodiscard")
        _run("mkfs.ext4", *quiet, "-b", str(BLOCK), "-N", str(inodes), str(image))

    def __enter__(self) -> Self:
        self._stack.enter_context(mounted(self._image, self.place, "-o", "loop"))
        (self.place / "lost+found").rmdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        self._image.unlink()

    @property
    def free_octets(self) -> int:
        """What others than root may still write."""
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def fill(self, *, leave: int = 0) -> None:
        """Take all blocks but so many; again, to take what came free since."""
        with self._ballast.open("ab") as file:
            size, piece = file.tell(), 4 * _MEGABYTE
            while piece >= BLOCK:
                try:
                    os.posix_fallocate(file.fileno(), size, piece)
                    size += piece
                except OSError:
                    piece //= 2
            os.ftruncate(file.fileno(), max(0, size - leave * BLOCK))

    def fill_inodes(self) -> None:
        """Take all inodes; again, to take what came free since."""
        names = self._ballast.with_suffix(".inodes")
        with suppress(FileExistsError):
            names.mkdir()
        with suppress(OSError):
            while True:
                os.mknod(names / os.urandom(8).hex())

    def free(self) -> None:
        """Give back what was taken."""
        self._ballast.unlink(missing_ok=True)
        names = self._ballast.with_suffix(".inodes")
        if names.exists():
            for each in names.iterdir():
                each.unlink()
            names.rmdir()

    def set_read_only(self, *, read_only: bool) -> None:
        """Remount it; the kernel refuses as long as any file is open for writing, so repeatedly."""
        how = "ro" if read_only else "rw"

        def remount() -> bool:
            return _succeeds("mount", "-o", f"remount,{how}", str(self.place))

        wait_until(remount, f"{self.place} to be {how}", 20)


class mounted:  # noqa: N801 - used as a function
    """Mount `source` at `place` until the end of the context."""

    def __init__(self, source: Path, place: Path, *options: str) -> None:
        self._place = str(place)
        self._command = ("mount", *options, str(source), self._place)

    def __enter__(self) -> None:
        _run(*self._command)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            wait_until(lambda: _succeeds("umount", self._place), f"the end of {self._place}")
        except AssertionError:
            _run("umount", "--lazy", self._place)  # for the machine's sake; and the test fails
            raise


def _run(*command: str) -> None:
    subprocess.run(command, check=True, env={"PATH": _PATH}, stdin=subprocess.DEVNULL)


def _succeeds(*command: str) -> bool:
    done = subprocess.run(
        command, check=False, env={"PATH": _PATH}, stdin=subprocess.DEVNULL, capture_output=True
    )
    return done.returncode == 0
