"""Files of the maildrop as sendmail leaves them, made in a step; and files that it never would."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mta.queue.maildrop import MaildropEncoder, Submission
from mta.queue.maildrop_writer import MaildropWriter, new_name

__all__ = ["MESSAGE", "drop", "encoded", "new_name", "put"]

MESSAGE: Final = b"Subject: dropped\r\n\r\nText\r\n"
_HOST: Final = "host.test"


def encoded(
    content: bytes = MESSAGE,
    recipients: Sequence[str] = ("bob@posthouse.test",),
    sender: str = "alice@example.org",
) -> bytes:
    """The octets of a whole file."""
    encoder = MaildropEncoder(Submission(sender, tuple(recipients), False, _HOST))
    return encoder.opening() + encoder.content(content) + encoder.ending()


def drop(
    folder: Path,
    content: bytes = MESSAGE,
    recipients: Sequence[str] = ("bob@posthouse.test",),
    sender: str = "alice@example.org",
    host: str = _HOST,
) -> str:
    """Leave a message there, with the writer that sendmail has; the file's name."""
    writer = MaildropWriter(str(folder), host)
    writer.write(encoded(content, recipients, sender))
    writer.seal()
    writer.publish()
    return writer.name


def put(folder: Path, data: bytes, name: str = "", mode: int = 0o640, owner: int = -1) -> Path:
    """A file of any octets, name, mode and owner."""
    path = folder / (name or new_name(_HOST))
    path.write_bytes(data)
    if owner >= 0:
        os.chown(path, owner, -1)
    path.chmod(mode)
    return path
