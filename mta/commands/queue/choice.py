"""The messages that a command is about, as its arguments say: by id, or by criteria.

The law: nothing is chosen by accident. Ids and criteria exclude each other; a verb that changes
something wants one of them, and asks before it touches more than one message that criteria chose;
an empty value is a mistake, except that of `--sender`, which means the null sender.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import click

from mta.commands.output import as_text
from mta.commands.progress import Counted
from mta.commands.queue.selection import Criteria, matches
from mta.commands.queue.verb import NotDone, Verb
from mta.commands.queue.view import entry_table
from mta.queue.entry import Entry, entries, entry_of
from mta.queue.layout import STATES
from mta.queue.queue_id import is_queue_id
from mta.queue.store import QueueStore

__all__ = ["Choice", "locate", "print_entries"]


@dataclass(frozen=True)
class Choice:
    """What the arguments say."""

    queue_ids: tuple[str, ...]  # "-": those on standard input
    criteria: Criteria
    everything: bool
    dry_run: bool
    yes: bool
    as_json: bool

    @property
    def by_criteria(self) -> bool:
        """Whether criteria choose the messages, `--all` among them."""
        return self.everything or self.criteria != Criteria()

    @property
    def is_everything(self) -> bool:
        """Whether no message is left out."""
        return not self.queue_ids and self.criteria == Criteria()

    def find(self, store: QueueStore, verb: Verb) -> tuple[list[Entry], list[NotDone]]:
        """The messages to which it is to be done, and why not to others that were named."""
        if not self.queue_ids:
            found = self._matching(entries(store, verb.states))
            return [entry for entry in found if verb.accepts(entry)], []
        wanted: list[Entry] = []
        problems: list[NotDone] = []
        for queue_id in self.given():
            entry = locate(store, queue_id)
            if entry is None:
                problems.append(NotDone.unknown(queue_id))
            elif verb.accepts(entry):
                wanted.append(entry)
            else:
                problems.append(verb.objection(entry))
        return wanted, problems

    def given(self) -> Iterable[str]:
        """The ids that were named, each once."""
        return dict.fromkeys(_given(self.queue_ids))

    def confirm(self, count: int, verb: Verb) -> None:
        """Ask whether the messages that criteria chose are meant; click.Abort if they are not."""
        if count > 1 and self.by_criteria and not self.yes and not verb.harmless:
            click.confirm(f"{count} messages {verb.plan}. Go on?", abort=True, err=True)

    def _matching(self, looked_at: Iterable[Entry]) -> list[Entry]:
        """Those that meet the criteria, the oldest first."""
        now = time.time()
        with Counted("looked at") as progress:
            found = {  # one that moved meanwhile may be seen twice: then as it was last
                entry.queue_id: entry
                for entry in progress.count(looked_at)
                if matches(self.criteria, entry, now)
            }
        return [found[queue_id] for queue_id in sorted(found)]


def locate(store: QueueStore, queue_id: str) -> Entry | None:
    """The message in whatever state it is; None if there is none."""
    for state in STATES if is_queue_id(queue_id) else ():  # in the order in which messages move
        entry = entry_of(store, state, queue_id)
        if entry is not None:
            return entry
    return None


def print_entries(listed: list[Entry], *, as_json: bool) -> None:
    """The entries for programs, or for people, who are not shown an empty table."""
    if as_json:
        click.echo(as_text([asdict(entry) for entry in listed]))
    elif listed:
        click.echo(entry_table(listed))


def _given(queue_ids: Iterable[str]) -> Iterator[str]:
    for queue_id in queue_ids:
        if queue_id == "-":
            yield from (line.strip() for line in sys.stdin if line.strip())
        else:
            yield queue_id
