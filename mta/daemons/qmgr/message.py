"""One message during one attempt: who is left, what to record, whom to tell, what becomes of it.

The law: a recipient who was delivered or bounced is never tried again; a message leaves the queue
only when each of its recipients was delivered, or bounced and its sender told. Who is left when
the message is too old, or when an operator gave it up, is bounced, but never for want of an agent
that lives through the attempt. Pure: the time is an argument, and so is the age.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.daemons.qmgr.scheduler import backoff
from mta.ipc.messages import Outcome
from mta.proto.envelope import Envelope, Recipient
from mta.proto.status import Disposition, ReportKind, Status
from mta.queue.journal import Attempted, JournalRecord, Notified

__all__ = ["Again", "Attempt", "Hold", "Owe", "Postpone", "Remove", "Verdict"]

_REASON_LIMIT: Final = 1024  # characters of a journal's reason
_TEXT_LIMIT: Final = 512  # characters of a status
_NOBODY: Final = "none"  # the relay where no agent decided
_LOST: Final = Status(451, "4.3.0", "no delivery agent lived through the attempts")


class Remove(Struct, frozen=True):
    """All recipients were delivered, or the sender was told of them."""


class Hold(Struct, frozen=True):
    """No recipient is left to try, some were not delivered, and there is nobody to tell."""

    reason: str


class Owe(Struct, frozen=True):
    """No recipient is left to try, and the report to the sender could not be made yet."""

    reason: str


class Postpone(Struct, frozen=True):
    """Some recipients were deferred."""

    pause: float  # seconds until the next attempt
    reason: str


class Again(Struct, frozen=True):
    """A request was lost with its agent: soon again, and nothing is counted."""


Verdict = Remove | Hold | Owe | Postpone | Again


class Attempt:
    """What is known of a message's recipients; outcomes come in, records and a verdict go out."""

    def __init__(
        self,
        envelope: Envelope,
        known: Mapping[int, Attempted],
        *,
        reported: Iterable[int] = (),
        delay_reported: bool = False,
        unwritten: Iterable[JournalRecord] = (),
    ) -> None:
        """All but `unwritten` is as the journal has it; that is what it could not be told so far.

        See `StoredMessage` for `reported`, the recipients, and `delay_reported`.
        """
        self._envelope = envelope
        self._last: dict[int, Attempted] = dict(known)
        self._reported = set(reported)
        self._delay_reported = delay_reported
        self._nobody_to_tell = False
        self._untold_reason = ""
        self.unwritten: list[JournalRecord] = []
        for record in unwritten:
            match record:
                case Attempted():
                    self._add(record)
                case Notified(when, kind):
                    self.told(when, kind)
        self._pending = set(self.recipients())

    def recipients(self) -> dict[int, Recipient]:
        """Those still to be delivered, by their place in the envelope."""
        return {
            index: recipient
            for index, recipient in enumerate(self._envelope.recipients)
            if not self._is_finished(index)
        }

    # What comes in

    def note(self, now: float, outcomes: Iterable[Outcome]) -> None:
        """Take in what a delivery agent, or the lack of one, decided."""
        for outcome in outcomes:
            self._pending.discard(outcome.index)
            self._add(
                Attempted(now, outcome.index, outcome.disposition, outcome.status, outcome.relay)
            )

    def lose(self) -> list[Outcome]:
        """The outcomes of those whose requests were lost too often: for `note`."""
        return [
            Outcome(index, Disposition.DEFERRED, _LOST, _NOBODY) for index in sorted(self._pending)
        ]

    def expire(self, age: float, parameters: Parameters) -> list[Outcome]:
        """The outcomes of those who are left although the message is too old: for `note`."""
        lifetime = parameters.maximal_queue_lifetime
        if not self._envelope.sender:
            lifetime = parameters.bounce_queue_lifetime
        if self._pending or age < lifetime:
            return []
        return self._bounce_rest("delivery time expired")

    def give_up(self) -> list[Outcome]:
        """The outcomes of all who are left, for an operator wants no more attempts: for `note`."""
        return self._bounce_rest("returned to the sender by the operator")

    def told(self, now: float, kind: ReportKind) -> None:
        """The sender was told."""
        if kind is ReportKind.DELAY:
            self._delay_reported = True
        else:
            self._reported |= self._bounced()
        self.unwritten.append(Notified(now, kind))

    def nobody_to_tell(self) -> None:
        """The recipients that bounced cannot be reported to anybody."""
        self._nobody_to_tell = True

    def not_told(self, reason: str) -> None:
        """The report could not be made now."""
        self._untold_reason = reason

    # What goes out

    @property
    def pending(self) -> bool:
        """Whether recipients have no outcome of this attempt yet."""
        return bool(self._pending)

    def owed(self, age: float, parameters: Parameters) -> ReportKind | None:
        """What the sender is to be told now that the attempt is over."""
        if self._pending:
            return None
        if not self._nobody_to_tell and self._bounced() - self._reported:
            return ReportKind.FAILURE
        warned = self._delay_reported or not self._envelope.sender
        if not warned and 0 < parameters.delay_warning_time <= age and self.recipients():
            return ReportKind.DELAY
        return None

    def verdict(self, age: float, parameters: Parameters) -> Verdict:
        """What becomes of the message; to be asked when the sender was told what he is owed."""
        if self._pending:
            return Again()
        left = self.recipients()
        if left:
            pause = backoff(age, parameters.minimal_backoff_time, parameters.maximal_backoff_time)
            return Postpone(pause, self._deferral(left))
        untold = sorted(self._bounced() - self._reported)
        if not untold:
            return Remove()
        if self._nobody_to_tell:
            bounce = f"{len(untold)} bounced: {self._last[untold[0]].status}"
            return Hold(f"nobody to tell: {bounce}"[:_REASON_LIMIT])
        return Owe(f"the sender could not be told: {self._untold_reason}"[:_REASON_LIMIT])

    # Recipients

    def _bounce_rest(self, why: str) -> list[Outcome]:
        bounced = []
        for index in self.recipients():
            last = self._last.get(index)
            # RFC 3463, 3.5: where a problem was met, it says more than that time ran out.
            text = why if last is None else f"{why}; last: {last.status}"
            status = Status(554, "5.4.7", text[:_TEXT_LIMIT])
            bounced.append(Outcome(index, Disposition.BOUNCED, status, _NOBODY))
        return bounced

    def _bounced(self) -> set[int]:
        return {
            index
            for index, record in self._last.items()
            if record.disposition is Disposition.BOUNCED
        }

    def _deferral(self, left: Iterable[int]) -> str:
        statuses = (str(self._last[index].status) for index in left if index in self._last)
        return next(statuses, "")[:_REASON_LIMIT]

    def _add(self, record: Attempted) -> None:
        if not self._is_finished(record.index):
            self._last[record.index] = record
            self.unwritten.append(record)

    def _is_finished(self, index: int) -> bool:
        record = self._last.get(index)
        return record is not None and record.disposition is not Disposition.DEFERRED
