"""What lies in a maildrop, read as pickup reads it; and a system that has nothing else."""

import json
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from mta.config.parameters import Parameters
from mta.queue.layout import create_layout
from mta.queue.maildrop import is_dropped_name, open_dropped

__all__ = ["Dropped", "dropped_in", "make_place"]

_SIZE_LIMIT = 1 << 30  # octets


class Dropped(Struct, frozen=True):
    """One message of a maildrop."""

    sender: str
    recipients: tuple[str, ...]
    body_8bit: bool
    content: bytes

    @property
    def body(self) -> bytes:
        """What follows the header section."""
        return self.content.partition(b"\r\n\r\n")[2]


def dropped_in(folder: Path) -> list[Dropped]:
    """All messages, the oldest first; what is not whole fails the test."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return [
            _read(descriptor, name) for name in sorted(os.listdir(folder)) if is_dropped_name(name)
        ]
    finally:
        os.close(descriptor)


def _read(folder: int, name: str) -> Dropped:
    message = open_dropped(folder, name, _SIZE_LIMIT)
    try:
        told = message.submission
        content = b"".join(message.content())
        return Dropped(told.sender, told.recipients, told.body_8bit, content)
    finally:
        message.close()


def make_place(directory: Path, **parameters: object) -> Path:
    """A configuration that is rendered and a maildrop; the result is the queue directory."""
    queue, config = directory / "queue", directory / "etc"
    config.mkdir(parents=True)
    (config / "main.yml").write_text(f"queue_directory: {queue}\n")
    create_layout(str(queue))
    settings = msgspec.structs.replace(
        Parameters(), queue_directory=str(queue), myhostname="posthouse.test", **parameters
    )
    snapshot = {"generation": 1, "parameters": msgspec.to_builtins(settings)}
    (queue / "config" / "1.json").write_text(json.dumps(snapshot))
    (queue / "maildrop").mkdir(exist_ok=True)
    (queue / "maildrop").chmod(0o3733)
    return queue
