"""A message on its way in: frames of recipients and content pass the stages into a queue file."""

import os
import time

from mta.config.parameters import Parameters
from mta.daemons.cleanup.envelope import EnvelopeStage
from mta.daemons.cleanup.headers import HeaderStage
from mta.ipc.messages import Begin
from mta.proto.envelope import Recipient
from mta.proto.status import MailError, permanent
from mta.queue.committer import Committer
from mta.queue.queue_id import new_queue_id
from mta.queue.room import NO_SPACE
from mta.queue.store import QueueStore
from mta.queue.writer import QueueWriter

__all__ = ["Admission", "IncomingMessage"]


class IncomingMessage:
    """One message; any MailError of `add` and `seal` is final, `discard` it then."""

    def __init__(self, root: int, begin: Begin, parameters: Parameters) -> None:
        now = time.time()
        self.queue_id = new_queue_id(now, os.urandom(8))
        self.size = 0  # octets of the message as it came
        self._root = root
        self._size_limit = parameters.message_size_limit
        self._envelope = EnvelopeStage(begin, now)
        self._headers = HeaderStage(parameters, self.queue_id)
        self._writer: QueueWriter | None = None  # once the header section is complete

    @property
    def message_id(self) -> str:
        """The message id, for the log."""
        return self._headers.message_id

    @property
    def writer(self) -> QueueWriter:
        """The queue file; it exists once the message is sealed."""
        assert self._writer is not None
        return self._writer

    def add(self, recipients: tuple[Recipient, ...], content: bytes) -> None:
        """Take the next frame: recipients come first, then content."""
        if recipients:
            if self.size:
                permanent("5.5.1", "Recipients after content", code=503)
            self._envelope.add(recipients)
        if content:
            self.size += len(content)
            if self.size > self._size_limit:
                permanent("5.3.4", "Message size exceeds fixed limit", code=552)
            if self._writer is not None:
                self._writer.write(content)
            elif self._headers.add(content):
                self._open()

    def seal(self) -> None:
        """The message is whole: make its queue file complete, but not yet durable."""
        if self._writer is None:
            self._headers.end()
            self._open()
        self.writer.seal()

    def discard(self) -> None:
        """Leave nothing behind; OSError if that fails."""
        if self._writer is not None:
            self._writer.discard()

    def _open(self) -> None:
        envelope = self._envelope.close()
        self._writer = QueueWriter(self._root, self.queue_id, envelope)
        for piece in self._headers.opening(envelope):
            self._writer.write(piece)


class Admission:
    """Decides whether another message is begun: not while the disk fails.

    As in Postfix, room is the business of whoever takes mail from outside: what the house itself
    has to say, and what is under way already, may have the rest of the disk.
    """

    def __init__(self, store: QueueStore, committer: Committer, parameters: Parameters) -> None:
        self._store = store
        self._committer = committer
        self._parameters = parameters

    def admit(self, begin: Begin) -> IncomingMessage:
        """Open a message; a temporary MailError (452 4.3.1) while the queue cannot take it."""
        if self._committer.sick:
            raise MailError(NO_SPACE, "the last flush failed")
        return IncomingMessage(self._store.descriptor, begin, self._parameters)
