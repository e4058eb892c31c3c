"""What a message goes through on its way out of the program: pickup's socket, or the maildrop.

    write, any number of times   then `commit`: on stable storage, or a SubmissionError
    close                        without a `commit` before it, there is no message

No call waits longer than the timeout without the other side having done anything.
"""

from typing import Protocol

from mta.ipc.messages import CONTENT_BESIDE_RECIPIENTS, CONTENT_LIMIT, RECIPIENTS_LIMIT, Begin, More
from mta.proto.envelope import Origin, Recipient
from mta.queue.maildrop import Submission

__all__ = ["Door", "Framer"]


class Door(Protocol):
    """One message on its way; all but `close` raise SubmissionError."""

    def write(self, data: bytes) -> None:
        """Add content: lines that end in CRLF, in pieces of any size."""

    def commit(self) -> None:
        """The message is whole: return when it is safe."""

    def close(self) -> None:
        """Let go; a message that was not committed is forgotten."""


class Framer:
    """Content in, frames out, each as full as it may be: see mta.ipc.cleanup.Transaction."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission
        self._recipients = [Recipient(each, each) for each in submission.recipients]
        self._content = bytearray()
        self._begun = False

    def add(self, data: bytes) -> list[Begin | More]:
        """Take content; the frames that it fills."""
        self._content += data
        frames = []
        while len(self._recipients) > RECIPIENTS_LIMIT or len(self._content) > self._room:
            frames.append(self._next(last=False))
        return frames

    def end(self) -> Begin | More:
        """The last frame."""
        return self._next(last=True)

    @property
    def _room(self) -> int:
        """Octets of content that the next frame can hold: none before the last recipients."""
        if len(self._recipients) > RECIPIENTS_LIMIT:
            return 0
        return CONTENT_BESIDE_RECIPIENTS if self._recipients else CONTENT_LIMIT

    def _next(self, *, last: bool) -> Begin | More:
        room = self._room
        recipients = tuple(self._recipients[:RECIPIENTS_LIMIT])
        content = bytes(self._content[:room])
        del self._recipients[:RECIPIENTS_LIMIT]
        del self._content[:room]
        if self._begun:
            return More(recipients, content, last)
        self._begun = True
        told = self._submission
        # Where it comes from is pickup's to say: the kernel names the user to it.
        origin = Origin("LOCAL", "", 0, told.host, "pickup")
        return Begin(told.sender, origin, told.body_8bit, recipients, content, last)
