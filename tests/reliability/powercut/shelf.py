"""Files as they are read: queue files by the queue's own reader, copies of letters by themselves.

Whatever the octets are, they are read from a real file of the right name and mode: what the reader
refuses here, it refuses in a queue.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from mta.proto.status import Disposition
from mta.queue.errors import QueueFileError
from mta.queue.queue_id import is_queue_id
from mta.queue.store import QueueStore
from reliability.powercut.letters import Mark, Report, recognised
from reliability.powercut.model import World
from reliability.powercut.variants import Contents, Kept

__all__ = ["Shelf", "Stored"]


@dataclass(frozen=True)
class Stored:
    """A readable, complete queue file with what its journal says of the recipients."""

    recipients: tuple[str, ...]
    outcomes: dict[int, Disposition]
    reported: frozenset[int]
    message: Mark | Report | None


class Shelf:
    """Reads each distinct file once."""

    def __init__(self, folder: Path, world: World) -> None:
        """`folder` does not exist yet."""
        self._world = world
        self._folder = folder
        folder.mkdir()
        self._store = QueueStore(str(folder))
        self._stored: dict[tuple[int, Contents], Stored | str] = {}
        self._copies: dict[Contents, Mark | Report | None] = {}

    def octets(self, contents: Contents) -> bytes:
        """What stands in a file."""
        return contents.octets(self._world.histories[contents.node].pieces)

    def stored(self, kept: Kept) -> Stored | str:
        """A queue file, or why it is none."""
        assert kept.contents is not None
        key = (kept.mode, kept.contents)
        if key not in self._stored:
            self._stored[key] = self._read(kept, kept.contents)
        return self._stored[key]

    def copy(self, kept: Kept) -> Mark | Report | None:
        """A file in a mailbox; None if it is not whole."""
        assert kept.contents is not None
        if kept.contents not in self._copies:
            self._copies[kept.contents] = recognised(self.octets(kept.contents))
        return self._copies[kept.contents]

    def _read(self, kept: Kept, contents: Contents) -> Stored | str:
        queue_id = os.path.basename(kept.path)
        if not is_queue_id(queue_id):
            return f"{kept.path}: no queue id"
        path = self._folder / "incoming" / queue_id[-1] / queue_id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.octets(contents))
        path.chmod(kept.mode)
        try:
            with self._store.open_message("incoming", queue_id) as message:
                message.verify_content()
                return Stored(
                    tuple(recipient.address for recipient in message.envelope.recipients),
                    {index: each.disposition for index, each in message.outcomes.items()},
                    frozenset(message.reported),
                    recognised(b"".join(message.content())),
                )
        except QueueFileError as error:
            return str(error)
        finally:
            path.unlink()

    def close(self) -> None:
        self._store.close()
