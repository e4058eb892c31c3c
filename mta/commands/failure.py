"""How subcommands fail."""

from typing import IO, Any

import click

__all__ = ["ControlError", "Failure", "MasterBusyError", "NotRunningError"]


class ControlError(Exception):
    """The master did not do what it was asked; the text is its own."""


class NotRunningError(ControlError):
    """No master answers in this queue directory."""


class MasterBusyError(ControlError):
    """The master is starting or stopping: ask again later."""


class Failure(click.ClickException):
    """Ends the program: lines for stderr, and an exit status of sysexits.h."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message, a prefix before each line."""
        for line in self.message.splitlines():
            click.echo(f"mta: {line}", file=file, err=file is None)
