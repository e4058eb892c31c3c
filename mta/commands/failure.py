"""How every subcommand fails."""

from typing import IO, Any

import click

__all__ = ["Failure"]


class Failure(click.ClickException):
    """Ends the program: lines for stderr, and an exit status of sysexits.h."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message, a prefix before each line."""
        for line in self.message.splitlines():
            click.echo(f"mta: {line}", file=file, err=file is None)
