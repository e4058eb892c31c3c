"""`mta queue bounce`: return messages to their senders now, whatever their age.

The queue manager does it, for it alone writes into journals, and a report is made from them. A
message on hold is put into deferred/ for that, locked until the queue manager knows what is to
become of it, and goes back if that cannot be said.
"""

from typing import TYPE_CHECKING

import click

from mta.commands.main import Target
from mta.commands.queue.access import opened
from mta.commands.queue.arguments import chooses
from mta.commands.queue.choice import Choice, locate
from mta.commands.queue.verb import NotDone, Verb
from mta.commands.queue.view import printable
from mta.commands.queue.work import perform
from mta.proto.status import MailError
from mta.queue.claim import claimed
from mta.queue.entry import Entry
from mta.queue.errors import QueueFileMissing
from mta.queue.store import QueueStore

if TYPE_CHECKING:
    from mta.commands.queue.services import Services

__all__ = ["bounce"]

_BOUNCE = Verb("to be returned", "being returned", ("incoming", "deferred", "hold"))


@click.command()
@chooses()
def bounce(options: Target, choice: Choice) -> None:
    """Return messages to their senders now.

    Their unfinished recipients get nothing more, and the senders are told. A message that is being
    delivered is returned afterwards, as far as it was not delivered.
    """
    from mta.commands.queue.services import Services  # noqa: PLC0415 - takes long to import

    with opened(options) as store, Services(options.queue_directory) as services:

        def act(entry: Entry) -> int:
            if entry.state == "hold":
                _give_up_held(store, services, entry)
            else:
                _give_up(store, services, entry.queue_id)
            click.echo(f"{entry.queue_id}: returned to <{printable(entry.sender)}>")
            return 1

        perform(store, choice, _BOUNCE, act)


def _give_up_held(store: QueueStore, services: "Services", entry: Entry) -> None:
    with claimed(store, "hold", entry.queue_id):
        store.move(entry.queue_id, "hold", "deferred")
        try:
            _give_up(store, services, entry.queue_id)
        except BaseException:
            store.move(entry.queue_id, "deferred", "hold")
            raise


def _give_up(store: QueueStore, services: "Services", queue_id: str) -> None:
    try:
        known = services.run(services.qmgr.give_up(queue_id))
    except MailError as error:
        raise NotDone.refused(queue_id, str(error)) from error
    if not known and locate(store, queue_id) is None:
        raise QueueFileMissing(queue_id)
    if not known:
        raise NotDone.refused(queue_id, "the queue manager does not know it")
