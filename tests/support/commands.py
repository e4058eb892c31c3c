"""The `mta` command in the test's own process."""

from pathlib import Path
from typing import Protocol

from click.testing import Result

__all__ = ["MtaQueue", "RunMta"]


class RunMta(Protocol):
    """Run one subcommand; the test fails when its exit status is not `status`."""

    def __call__(self, *arguments: str, status: int = 0) -> Result: ...


class MtaQueue(Protocol):
    """Run `mta queue ARGUMENTS` on the test's queue, or on that of another directory."""

    def __call__(
        self, *arguments: str, stdin: str = "", directory: Path | None = None
    ) -> Result: ...
