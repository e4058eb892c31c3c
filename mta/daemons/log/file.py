"""The log file: appended to, followed when it is rotated, and no line lost to a full disk."""

import os
import time
from typing import Final

__all__ = ["LogFile"]

_FOLLOW_INTERVAL: Final = 1.0  # seconds between two looks whether the file was renamed


class LogFile:
    """The file at `path`, appended to; what a full disk refused waits for the next flush."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._pending = b""
        self._written = 0  # octets of `_pending` that are in the file
        self._next_look = 0.0

    @property
    def pending(self) -> int:
        """Octets that are not in the file yet."""
        return len(self._pending) - self._written

    def append(self, lines: bytes) -> None:
        """Write whole lines; OSError if they could not all be written, which keeps the rest."""
        self._pending = self._pending[self._written :] + lines if self._pending else lines
        self._written = 0
        self.flush()

    def flush(self) -> None:
        """Write what is pending; OSError as for `append`."""
        self._follow()
        view = memoryview(self._pending)
        while self._written < len(view):
            self._written += os.write(self._descriptor, view[self._written :])
        self._pending, self._written = b"", 0

    def reopen(self) -> None:
        """Open the file at the path, whatever it is now; OSError leaves the old one open."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o640)
        self.close()
        self._descriptor = descriptor
        # A line that was cut short in the old file comes whole in the new one.
        self._written = self._pending.rfind(b"\n", 0, self._written) + 1

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _follow(self) -> None:
        now = time.monotonic()
        if self._descriptor >= 0 and now < self._next_look:
            return
        self._next_look = now + _FOLLOW_INTERVAL
        try:
            there = os.stat(self._path)
            ours = os.fstat(self._descriptor) if self._descriptor >= 0 else None
        except FileNotFoundError:
            ours = None
        if ours is None or not os.path.samestat(there, ours):
            self.reopen()
