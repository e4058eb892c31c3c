"""The `mta` command in the test's own process."""

from typing import Protocol

from click.testing import Result

__all__ = ["RunMta"]


class RunMta(Protocol):
    """Run one subcommand; the test fails when its exit status is not `status`."""

    def __call__(self, *arguments: str, status: int = 0) -> Result: ...
