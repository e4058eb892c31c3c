"""Temporary folders that the users of daemons get through, too."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["reachable_folder"]


@contextlib.contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder with a short name, gone afterwards: others can pass it, and not list it."""
    with tempfile.TemporaryDirectory(prefix="mta-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder
