"""What a command does to messages, and why it did not do it to one."""

import os
from dataclasses import dataclass

from mta.commands.queue.view import printable
from mta.queue.entry import Entry
from mta.queue.layout import State

__all__ = ["NotDone", "Unanswered", "Verb"]


class NotDone(Exception):  # noqa: N818 - what happened, often nobody's fault
    """A message to which it was not done: a line for stderr, and a status of sysexits.h."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.text = text
        self.status = status

    @classmethod
    def unknown(cls, queue_id: str) -> "NotDone":
        """There is no such message."""
        return cls(f"no message with queue id {printable(queue_id)}", os.EX_NOINPUT)

    @classmethod
    def busy(cls, queue_id: str) -> "NotDone":
        """Somebody works on the message."""
        return cls(f"{queue_id}: is being worked on, try again", os.EX_TEMPFAIL)

    @classmethod
    def damaged(cls, queue_id: str, reason: str) -> "NotDone":
        """The queue file is damaged."""
        return cls(f"{queue_id}: {printable(reason)}", os.EX_DATAERR)

    @classmethod
    def refused(cls, queue_id: str, reason: str) -> "NotDone":
        """The message is not one for it, or a daemon would not have it."""
        return cls(f"{queue_id}: {printable(reason)}", os.EX_UNAVAILABLE)


class Unanswered(Exception):  # noqa: N818 - as above
    """A daemon does not answer: it will not for the next message either."""


@dataclass(frozen=True)
class Verb:
    """What a command does to messages."""

    plan: str  # "to be deleted", as in "3 to be deleted."
    done: str  # "deleted", as in "3 deleted."
    states: tuple[State, ...]  # where the messages are that it can be done to
    damaged: bool = False  # whether it can be done to a damaged file
    harmless: bool = False  # whether nobody need be asked first

    def accepts(self, entry: Entry) -> bool:
        """Whether it can be done to this message."""
        return entry.state in self.states and (self.damaged or not entry.damaged)

    def objection(self, entry: Entry) -> NotDone:
        """Why it cannot be done to this message."""
        if entry.state in self.states:
            return NotDone.damaged(entry.queue_id, entry.reason)
        states = " or ".join(f"{state}/" for state in self.states)
        reason = f"lies in {entry.state}/; only what lies in {states} can be {self.done}"
        return NotDone.refused(entry.queue_id, reason)
