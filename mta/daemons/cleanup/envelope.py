"""The first stage: the envelope, gathered from frames and bounded."""

from typing import Final

from mta.ipc.messages import Begin
from mta.proto.envelope import Envelope, Origin, Recipient
from mta.proto.status import permanent

__all__ = ["EnvelopeStage"]

_RECIPIENTS_LIMIT: Final = 100_000  # what a client should hold itself to is a parameter of its own


class EnvelopeStage:
    """The envelope of one message while its recipients come in."""

    def __init__(self, begin: Begin, arrived: float) -> None:
        self._begin = begin
        self._arrived = arrived
        self._recipients: list[Recipient] = []

    @property
    def origin(self) -> Origin:
        """The client that the message came from."""
        return self._begin.origin

    def add(self, recipients: tuple[Recipient, ...]) -> None:
        """Take some recipients; a permanent MailError when there are too many."""
        self._recipients += recipients
        if len(self._recipients) > _RECIPIENTS_LIMIT:
            permanent("5.5.3", "Too many recipients", code=552)

    def close(self) -> Envelope:
        """The whole envelope; a permanent MailError when nobody is to receive the message."""
        if not self._recipients:
            permanent("5.5.1", "No recipients", code=554)
        return Envelope(
            self._begin.sender,
            tuple(self._recipients),
            self._begin.origin,
            self._arrived,
            self._begin.body_8bit,
        )
