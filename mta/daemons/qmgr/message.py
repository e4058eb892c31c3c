"""One message during one attempt: who is left, what to record, what becomes of the file.

The law: a recipient who was delivered or bounced is never tried again; a message leaves the queue
only when all its recipients were delivered; one that has bounced recipients, or is too old, goes
to hold/ with its whole story, for nobody could report it. Pure: the time is an argument.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mta.config.parameters import Parameters
from mta.daemons.qmgr.scheduler import next_attempt
from mta.ipc.messages import Outcome
from mta.proto.envelope import Envelope, Recipient
from mta.proto.status import Disposition
from mta.queue.journal import Attempted

__all__ = ["Again", "Attempt", "Hold", "Postpone", "Remove", "Verdict"]

_REASON_LIMIT: Final = 1024  # characters of a journal's reason


@dataclass(frozen=True)
class Remove:
    """All recipients were delivered."""


@dataclass(frozen=True)
class Hold:
    """No recipient is left to try, and some were not delivered."""

    reason: str


@dataclass(frozen=True)
class Postpone:
    """Some recipients were deferred."""

    next_attempt: float  # seconds since the epoch
    reason: str


@dataclass(frozen=True)
class Again:
    """A request was lost with its agent: soon again, and nothing is counted."""


Verdict = Remove | Hold | Postpone | Again


class Attempt:
    """What is known of a message's recipients; outcomes come in, records and a verdict go out."""

    def __init__(
        self,
        envelope: Envelope,
        known: Mapping[int, Attempted],
        unwritten: Iterable[Attempted] = (),
    ) -> None:
        """`known` is the journal's last word; `unwritten` what it could not be told so far."""
        self._envelope = envelope
        self._last: dict[int, Attempted] = dict(known)
        self.unwritten: list[Attempted] = []
        for record in unwritten:
            self._add(record)
        self._pending = set(self.recipients())

    def recipients(self) -> dict[int, Recipient]:
        """Those still to be delivered, by their place in the envelope."""
        return {
            index: recipient
            for index, recipient in enumerate(self._envelope.recipients)
            if not self._is_finished(index)
        }

    def note(self, now: float, outcomes: Iterable[Outcome]) -> None:
        """Take in what a delivery agent, or the lack of one, decided."""
        for outcome in outcomes:
            self._pending.discard(outcome.index)
            self._add(
                Attempted(now, outcome.index, outcome.disposition, outcome.status, outcome.relay)
            )

    @property
    def pending(self) -> bool:
        """Whether recipients have no outcome of this attempt yet."""
        return bool(self._pending)

    def verdict(self, now: float, parameters: Parameters) -> Verdict:
        """What becomes of the message now that the attempt is over; what is pending was lost."""
        left = self.recipients()
        if not left:
            return self._finished()
        deferral = next(
            (str(self._last[index].status) for index in left if index in self._last), ""
        )
        age = now - self._envelope.arrived
        if age > parameters.maximal_queue_lifetime:
            return Hold(f"undelivered after {age:.0f} s: {deferral}"[:_REASON_LIMIT])
        if self._pending:
            return Again()
        when = next_attempt(
            now,
            self._envelope.arrived,
            parameters.minimal_backoff_time,
            parameters.maximal_backoff_time,
        )
        return Postpone(when, deferral[:_REASON_LIMIT])

    def _finished(self) -> Verdict:
        bounced = [
            str(record.status)
            for record in self._last.values()
            if record.disposition is Disposition.BOUNCED
        ]
        if not bounced:
            return Remove()
        return Hold(f"{len(bounced)} bounced: {bounced[0]}"[:_REASON_LIMIT])

    def _add(self, record: Attempted) -> None:
        if not self._is_finished(record.index):
            self._last[record.index] = record
            self.unwritten.append(record)

    def _is_finished(self, index: int) -> bool:
        record = self._last.get(index)
        return record is not None and record.disposition is not Disposition.DEFERRED
