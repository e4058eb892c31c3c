"""What opening a queue file can find: nothing, something unfinished, or something damaged.

A missing file is normal (the notification came twice, the operator was faster), an incomplete one
belongs to cleanup, and a corrupt one goes to `corrupt/`: never deleted, never looped on.
"""

__all__ = [
    "QueueFileBusy",
    "QueueFileCorrupt",
    "QueueFileError",
    "QueueFileIncomplete",
    "QueueFileMissing",
]


class QueueFileError(Exception):
    """What all these share: the file that is meant, and why it cannot be used."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class QueueFileMissing(QueueFileError):  # noqa: N818 - a finding, often a normal one
    """No file of that queue id is in that state."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "no such queue file")


class QueueFileIncomplete(QueueFileError):  # noqa: N818 - a finding, often a normal one
    """The file is still being written, or its writer died."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "incomplete queue file")


class QueueFileBusy(QueueFileError):  # noqa: N818 - a finding, often a normal one
    """Somebody works on the message: the queue manager, an agent, an operator's command."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "being worked on")


class QueueFileCorrupt(QueueFileError):  # noqa: N818 - a finding, often a normal one
    """The file is not what we would have written; `reason` tells what is wrong with it."""
