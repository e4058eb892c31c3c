"""Queue files made as cleanup makes them."""

import os
from typing import Final

from mta.proto.envelope import Envelope, Origin, Recipient
from mta.proto.status import Disposition, Status
from mta.queue.journal import Attempted, Retry
from mta.queue.queue_id import new_queue_id
from mta.queue.store import QueueStore
from mta.queue.writer import QueueWriter

__all__ = [
    "ARRIVED",
    "BUSY",
    "CONTENT",
    "DELIVERED",
    "defer",
    "enqueue",
    "make_envelope",
    "new_writer",
]

ARRIVED: Final = 1_700_000_000.25
CONTENT: Final = b"Subject: x\r\n\r\nbody\r\n"
DELIVERED: Final = Attempted(
    ARRIVED, 0, Disposition.DELIVERED, Status(250, "2.0.0", "Ok"), "virtual"
)
BUSY: Final = Attempted(ARRIVED, 1, Disposition.DEFERRED, Status(450, "4.2.0", "Busy"), "virtual")


def make_envelope(recipients: int = 3) -> Envelope:
    """An envelope with that many recipients."""
    return Envelope(
        "sender@example.org",
        tuple(
            Recipient(f"user{number}@posthouse.test", f"User{number}@posthouse.test")
            for number in range(recipients)
        ),
        Origin("ESMTP", "192.0.2.1", 40000, "client.example", "smtp"),
        ARRIVED,
        body_8bit=False,
    )


def new_writer(queue: QueueStore, envelope: Envelope | None = None) -> QueueWriter:
    """A queue file that is not yet written."""
    queue_id = new_queue_id(ARRIVED, os.urandom(8))
    return QueueWriter(queue.descriptor, queue_id, envelope or make_envelope())


def enqueue(queue: QueueStore, content: bytes = CONTENT, envelope: Envelope | None = None) -> str:
    """Put a complete message into `incoming` and return its queue id."""
    writer = new_writer(queue, envelope)
    writer.write(content)
    writer.seal()
    writer.close()
    return writer.queue_id


def defer(queue: QueueStore, envelope: Envelope | None = None) -> str:
    """A message that was tried twice: its first recipient has it, the second's mailbox was busy."""
    queue_id = enqueue(queue, envelope=envelope)
    waiting = Retry(ARRIVED, 2, ARRIVED + 300, "450 4.2.0 Busy")
    queue.append_log("incoming", queue_id, [DELIVERED, BUSY, waiting])
    queue.move(queue_id, "incoming", "deferred")
    return queue_id
