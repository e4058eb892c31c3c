"""Do something to the messages that were chosen, one after the other.

The law: each message has its own result, and no failure of one keeps another from its turn, but
for a daemon that does not answer: it would do so no sooner for the next one. A message on which
somebody works is tried again for a few seconds. What criteria chose and what is gone by then was
delivered meanwhile: nobody's fault. A message that has moved is followed.
"""

import os
import time
from collections.abc import Callable
from typing import Final

import click

from mta.commands.progress import Counted
from mta.commands.queue.access import failure
from mta.commands.queue.choice import Choice, locate, print_entries
from mta.commands.queue.verb import NotDone, Unanswered, Verb
from mta.queue.entry import Entry
from mta.queue.errors import (
    QueueFileBusy,
    QueueFileCorrupt,
    QueueFileIncomplete,
    QueueFileMissing,
)
from mta.queue.store import QueueStore

__all__ = ["Act", "perform"]

Act = Callable[[Entry], int]  # how many it was done to; NotDone, Unanswered, or any QueueFileError

_PATIENCE: Final = 5.0  # seconds for messages that somebody works on
_PAUSE: Final = 0.2  # seconds between two tries


def perform(store: QueueStore, choice: Choice, verb: Verb, act: Act) -> None:
    """Do it, or in a dry run say to what it would be done; Failure tells of what was not done."""
    found, problems = choice.find(store, verb)
    if choice.dry_run:
        print_entries(found, as_json=choice.as_json)
        if not choice.as_json:
            click.echo(f"{len(found)} {verb.plan}.")
    else:
        if choice.as_json:
            raise click.UsageError("--json is for --dry-run")
        choice.confirm(len(found), verb)
        problems += _Work(store, choice, verb, act).run(found)
    if problems:
        raise failure(problems)


class _Work:
    """One verb on its way through the messages."""

    def __init__(self, store: QueueStore, choice: Choice, verb: Verb, act: Act) -> None:
        self._store = store
        self._choice = choice
        self._verb = verb
        self._act = act
        self._count = 0
        self._problems: list[NotDone] = []
        self._again: list[Entry] = []

    def run(self, wanted: list[Entry]) -> list[NotDone]:
        """Say how many it was done to; return why not to the others."""
        try:
            with Counted(self._verb.done) as progress:
                for entry in progress.count(wanted):
                    self._try(entry)
                self._insist()
        except Unanswered as end:
            self._problems.append(NotDone(str(end), os.EX_UNAVAILABLE))
        finally:  # the operator may lose patience, and a daemon may end
            click.echo(f"{self._count} {self._verb.done}.")
        return self._problems

    def _insist(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while self._again and time.monotonic() < deadline:
            time.sleep(_PAUSE)
            again, self._again = self._again, []
            for entry in again:
                self._try(entry)
        self._problems += [NotDone.busy(entry.queue_id) for entry in self._again]

    def _try(self, entry: Entry) -> None:
        try:
            self._count += self._act(entry)
        except NotDone as problem:
            self._problems.append(problem)
        except QueueFileBusy:
            self._again.append(entry)
        except QueueFileCorrupt as error:
            self._problems.append(NotDone.damaged(entry.queue_id, error.reason))
        except (QueueFileMissing, QueueFileIncomplete):
            self._follow(entry)

    def _follow(self, entry: Entry) -> None:
        moved = locate(self._store, entry.queue_id)
        if moved is not None and self._verb.accepts(moved):
            self._again.append(moved)
        elif not self._choice.by_criteria:
            self._problems.append(
                NotDone.unknown(entry.queue_id) if moved is None else self._verb.objection(moved)
            )
