"""`sendmail -bs`: SMTP on standard input and output, for programs that speak it to a child.

It is the engine of smtpd in this process, with the caller's power alone. The daemon itself would
need more: it hands content to cleanup, and no user may do that. Each message goes through the door
that others go through, so that this works without a master, too. Recipients are not looked up: what
cannot be delivered comes back as a report.
"""

import os
from typing import Final

from mta.proto.smtp.events import Closed, Content, Data, Mail, Rcpt, Reset, Signal
from mta.proto.smtp.replies import ACCEPTED_RECIPIENT, ACCEPTED_SENDER, START_CONTENT
from mta.proto.smtp.server import Limits, ServerEngine
from mta.proto.status import INTERNAL_ERROR, Status
from mta.queue.maildrop import Submission
from mta.submission.doors import Door
from mta.submission.errors import SubmissionError
from mta.submission.place import Place
from mta.submission.sending import open_door

__all__ = ["serve"]

_STDIN: Final = 0
_STDOUT: Final = 1
_CHUNK: Final = 65_536  # octets
_LINE_LIMIT: Final = 2048  # octets of a command
_RECIPIENTS_LIMIT: Final = 10_000
_ERRORS_LIMIT: Final = 20
_SENT: Final = Status(250, "2.0.0", "Ok: queued")
_REFUSED: Final = Status(554, "5.0.0", "Not accepted")


def serve(place: Place) -> None:
    """Speak until the client has said all."""
    session = _Session(place)
    try:
        while not session.over:
            data = os.read(_STDIN, _CHUNK)
            session.take(data)
            if not data:
                break
    finally:
        session.drop()


class _Session:
    """One client, and the message that he is about to send."""

    def __init__(self, place: Place) -> None:
        self.over = False
        terms = place.terms
        self._place = place
        limits = Limits(
            command_line=_LINE_LIMIT,
            content_line=terms.message_size_limit,
            message_size=terms.message_size_limit,
            recipients=_RECIPIENTS_LIMIT,
            errors=_ERRORS_LIMIT,
        )
        self._engine = ServerEngine(terms.myhostname, limits)
        self._mail = Mail("")
        self._recipients: list[str] = []
        self._door: Door | None = None
        self._engine.greet(f"{terms.myhostname} ESMTP Posthouse")
        self._answer()

    def take(self, data: bytes) -> None:
        """Process what the client sent."""
        self._engine.receive(data)
        while not isinstance(event := self._engine.next_event(), Signal):
            match event:
                case Mail():
                    self._mail = event
                    self._recipients = []
                    self._engine.reply(ACCEPTED_SENDER)
                case Rcpt():
                    self._recipients.append(event.address)
                    self._engine.reply(ACCEPTED_RECIPIENT)
                case Data() | Content():
                    self._try(event)
                case Reset():
                    self.drop()
                case Closed():
                    self.over = True
                    break
        self._answer()

    def drop(self) -> None:
        """Forget the message in hand."""
        if self._door is not None:
            self._door.close()
            self._door = None

    def _try(self, event: Data | Content) -> None:
        status: Status | None
        try:
            status = self._go_on(event)
        except SubmissionError as error:
            status = INTERNAL_ERROR if error.status == os.EX_TEMPFAIL else _REFUSED
            status = Status(status.code, status.enhanced, str(error)[:400])
            self.drop()
        if status is not None:
            self._engine.reply(status)

    def _go_on(self, event: Data | Content) -> Status | None:
        """The reply, None for a piece of content; SubmissionError if the message is not taken."""
        if isinstance(event, Data):
            recipients = tuple(dict.fromkeys(self._recipients))
            host = self._place.terms.myhostname
            mail = self._mail
            submission = Submission(mail.sender, recipients, mail.body_8bit, host)
            self._door = open_door(self._place, submission)
            return START_CONTENT
        assert self._door is not None
        self._door.write(event.octets)
        if not event.last:
            return None
        self._door.commit()
        self.drop()
        return _SENT

    def _answer(self) -> None:
        data = memoryview(self._engine.data_to_send())
        while data:
            data = data[os.write(_STDOUT, data) :]
