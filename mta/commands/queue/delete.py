"""`mta queue delete`: remove messages for good, whether or not the system runs."""

import click

from mta.commands.main import Target
from mta.commands.queue.access import opened
from mta.commands.queue.arguments import chooses
from mta.commands.queue.choice import Choice
from mta.commands.queue.verb import Verb
from mta.commands.queue.work import perform
from mta.queue.entry import Entry
from mta.queue.layout import STATES

__all__ = ["delete"]

_DELETE = Verb("to be deleted", "deleted", STATES, damaged=True)


@click.command()
@chooses()
def delete(options: Target, choice: Choice) -> None:
    """Delete messages for good; nobody is told.

    With "-" the queue ids are read from standard input, one a line. A message that is being
    delivered is deleted too, but its delivery goes on.
    """
    with opened(options) as store:

        def act(entry: Entry) -> int:
            store.remove(entry.queue_id, entry.state)
            return 1

        perform(store, choice, _DELETE, act)
