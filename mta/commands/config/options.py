"""What all subcommands of `mta config` are told."""

import os
from dataclasses import dataclass

from mta.commands.failure import Failure
from mta.config.errors import ConfigError

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """The system that a command is about."""

    directory: str  # absolute: where main.yml and services.yml are
    named: str | None  # the queue directory, if the caller named it

    @property
    def queue_directory(self) -> str:
        """The queue directory; Failure if nobody names it."""
        from mta.config.places import find_queue_directory  # noqa: PLC0415 - yaml takes its time

        if self.named is not None:
            return self.named
        try:
            return find_queue_directory(self.directory)
        except ConfigError as error:
            way_out = "`mta config --queue-directory DIRECTORY ...` does without main.yml"
            raise Failure(f"{error}\n{way_out}", os.EX_CONFIG) from error
