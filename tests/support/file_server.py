"""A file server that is away, forgets, or answers with errors when a test wants it to.

with FileServer(folder, mount) as server:
    server.fail("rename", errno.EIO, done=True)      done, and answered with an error
    server.leave("fsync")                            away from the next fsync on
    server.wait_struck()
    server.back()

A program of its own serves the folder (support.distant_folder); the kernel is its client. When it
dies, all who wait for it are let go.
"""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from support.distant_folder import BACK, Fault
from support.waiting import wait_until

__all__ = ["NEEDS", "FileServer"]

NEEDS: Final = ("root", "/dev/fuse", "fusermount3")

_TESTS: Final = Path(__file__).resolve().parents[1]


class FileServer:
    """Shows `folder` at `mount`, an empty folder; it is there at the end of the constructor."""

    def __init__(
        self, folder: Path, mount: Path, *, squash: bool = False, clock: float = 0.0
    ) -> None:
        """With `squash` all is nobody's; `clock` is in seconds, ahead of ours."""
        self.folder = folder
        self.mount = mount
        options = ["--squash"] if squash else []
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "support.distant_folder", str(folder), str(mount)),
                *(*options, f"--clock={clock}"),
            ],
            cwd=_TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            wait_until(self._is_mounted, "the file server")
        except BaseException:
            self.close()
            raise

    def leave(self, operation: str = "", *, done: bool = False) -> None:
        """Answer nobody: now, or from the next request of that kind on."""
        self._tell(Fault(operation, done=done))

    def fail(self, operation: str, error: int, *, done: bool = False, times: int = 1) -> None:
        """Answer the next requests of a kind with an error."""
        self._tell(Fault(operation, error, done, times))

    def back(self) -> None:
        """Answer as a server should, also those who wait."""
        self._say(BACK.encode())

    def struck(self) -> int:
        """How many faults have befallen somebody."""
        return self._say(b"")

    def wait_struck(self, count: int = 1) -> None:
        """Wait until that many have."""
        wait_until(lambda: self.struck() >= count, "a fault of the file server")

    def close(self) -> None:
        """Be gone for good."""
        self._process.kill()
        self._process.communicate()
        subprocess.run(["umount", "--lazy", self.mount], check=False, capture_output=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _is_mounted(self) -> bool:
        assert self._process.poll() is None, "the file server does not run"
        return f" {self.mount} fuse" in Path("/proc/self/mounts").read_text()

    def _tell(self, fault: Fault) -> None:
        self._say(msgspec.json.encode(fault))

    def _say(self, line: bytes) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())
