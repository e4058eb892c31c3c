"""The medium from outside: a file for a loop device, and the log of what happened to it."""

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from reliability.filesystems import server
from reliability.filesystems.device import unmount
from reliability.filesystems.history import History, read_log

__all__ = ["Medium", "served_medium"]

_PATIENCE: Final = 30.0  # seconds


class Medium:
    """A file of `size` octets, all zero at first."""

    def __init__(self, path: Path, size: int, log: int) -> None:
        self.path = path
        self.size = size
        self._log = log

    @property
    def position(self) -> int:
        """How long the log is now: what happened before is in it."""
        return os.fstat(self._log).st_size

    def history(self) -> History:
        """The log so far."""
        length = self.position
        if not length:
            return History(())
        return read_log(mmap.mmap(self._log, length, prot=mmap.PROT_READ))


@contextmanager
def served_medium(path: Path, size: int) -> Iterator[Medium]:
    """Mount a new medium upon the file `path`; what lies on it must be unmounted by the end."""
    path.touch()
    with ExitStack() as stack:
        log = os.memfd_create("log")
        stack.callback(os.close, log)
        process = stack.enter_context(_started(path, size, log))
        stack.callback(process.wait, _PATIENCE)  # it ends when nothing is mounted any more
        stack.callback(unmount, path)
        yield Medium(path, size, log)


@contextmanager
def _started(path: Path, size: int, log: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-I", server.__file__, str(path), str(size), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[log]) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"mounted\n":
                raise OSError(f"the server of {path} did not start")
            yield process
        finally:
            process.kill()  # one that has ended is left alone
