"""How a configuration can be unusable; apart, for these must be quick to import."""

__all__ = ["ConfigError", "LockedError", "SnapshotError"]


class ConfigError(Exception):
    """The configuration is not valid: one line a problem, in the order of the files."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SnapshotError(Exception):
    """The snapshot is missing, damaged, or of another version."""


class LockedError(Exception):
    """Another process is changing the configuration just now."""
