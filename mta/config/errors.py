"""How a configuration can be unusable; apart, for these must be quick to import."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mta.config.problems import Problem

__all__ = ["ConfigError", "LockedError", "SnapshotError"]


class ConfigError(Exception):
    """The configuration is not valid: the errors, in the order of the files, and the warnings."""

    def __init__(self, problems: "Sequence[Problem]", warnings: "Sequence[Problem]" = ()) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)


class SnapshotError(Exception):
    """The snapshot is missing, damaged, or of another version."""


class LockedError(Exception):
    """Another process is changing the configuration just now."""
