"""A message on its way in: frames of recipients and content pass the stages into a queue file."""

import os
import time

from mta.config.parameters import Parameters
from mta.daemons.cleanup.envelope import EnvelopeStage
from mta.daemons.cleanup.headers import HeaderStage
from mta.daemons.cleanup.rewriting import RewriteStage, Rules
from mta.ipc.messages import Begin
from mta.ipc.rewrite import RewriteClient
from mta.proto.envelope import Envelope, Recipient
from mta.proto.status import MailError, permanent
from mta.queue.committer import Committer
from mta.queue.queue_id import new_queue_id
from mta.queue.room import NO_SPACE
from mta.queue.store import QueueStore
from mta.queue.writer import QueueWriter

__all__ = ["Admission", "IncomingMessage"]


class IncomingMessage:
    """One message; any MailError of the methods is final, `discard` it then.

    While it `must_ask`, `ask` comes before anything else.
    """

    def __init__(self, root: int, begin: Begin, parameters: Parameters, rules: Rules) -> None:
        now = time.time()
        self.queue_id = new_queue_id(now, os.urandom(8))
        self.size = 0  # octets of the message as it came
        self._root = root
        self._size_limit = parameters.message_size_limit
        self._envelope = EnvelopeStage(begin, now)
        self._headers = HeaderStage(parameters, self.queue_id)
        self._rules = rules
        self._rewriting: RewriteStage | None = None  # until its answers are there
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

    def end(self) -> None:
        """The content is over."""
        if self._writer is None and self._rewriting is None:
            self._headers.end()
            self._open()

    @property
    def must_ask(self) -> bool:
        """Whether what becomes of the message's addresses is not known yet."""
        return self._rewriting is not None

    async def ask(self, client: RewriteClient) -> None:
        """Find it out."""
        stage = self._rewriting
        assert stage is not None
        came = stage.envelope
        await stage.ask(client)
        self._rewriting = None
        self._write(came, stage)

    def seal(self) -> None:
        """The message is whole: make its queue file complete, but not yet durable."""
        self.writer.seal()

    def discard(self) -> None:
        """Leave nothing behind; OSError if that fails."""
        if self._writer is not None:
            self._writer.discard()

    def _open(self) -> None:
        envelope = self._envelope.close()
        stage = RewriteStage(self._rules, envelope, self._headers.section)
        if stage.must_ask:
            self._rewriting = stage
        else:
            self._write(envelope, stage)

    def _write(self, came: Envelope, stage: RewriteStage) -> None:
        self._writer = QueueWriter(self._root, self.queue_id, stage.envelope)
        for piece in self._headers.opening(came, stage.section):
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
        self._rules = Rules(parameters)

    def admit(self, begin: Begin) -> IncomingMessage:
        """Open a message; a temporary MailError (452 4.3.1) while the queue cannot take it."""
        if self._committer.sick:
            raise MailError(NO_SPACE, "the last flush failed")
        return IncomingMessage(self._store.descriptor, begin, self._parameters, self._rules)
