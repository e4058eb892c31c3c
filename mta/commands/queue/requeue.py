"""`mta queue requeue`: put messages through cleanup again, as new ones.

The law: the old message is locked meanwhile, and removed once the new one is on stable storage: a
crash between leaves both, never neither. What cannot go on whole stays as it is: when an address is
refused, when the content is damaged, when the sender has yet to be told of recipients who bounced.

The new message is for the unfinished recipients, each resolved anew from the address that the
sender gave. It has a queue id and an age of its own, and comes from where the old one came from.
"""

from typing import TYPE_CHECKING

import click

from mta.commands.main import Target
from mta.commands.queue.access import opened
from mta.commands.queue.arguments import chooses
from mta.commands.queue.choice import Choice
from mta.commands.queue.verb import NotDone, Verb
from mta.commands.queue.work import perform
from mta.proto.envelope import Recipient
from mta.proto.status import Disposition, MailError
from mta.queue.claim import claimed
from mta.queue.entry import Entry
from mta.queue.reader import StoredMessage

if TYPE_CHECKING:
    from mta.commands.queue.services import Services

__all__ = ["requeue"]

_REQUEUE = Verb("to be queued anew", "queued anew", ("incoming", "deferred", "hold"))


@click.command()
@chooses()
def requeue(options: Target, choice: Choice) -> None:
    """Queue messages anew, for the recipients who are left.

    Addresses are resolved anew, as after a change of the configuration, and the message's age
    starts again. One on hold is released by it. The system must run.
    """
    from mta.commands.queue.services import Services  # noqa: PLC0415 - takes long to import

    with opened(options) as store, Services(options.queue_directory) as services:

        def act(entry: Entry) -> int:
            with claimed(store, entry.state, entry.queue_id) as message:
                new = _queue_anew(services, message)
                store.remove(entry.queue_id, entry.state)
                services.tell_moved(entry.queue_id)
            click.echo(f"{entry.queue_id}: queued anew as {new}")
            return 1

        perform(store, choice, _REQUEUE, act)


def _queue_anew(services: "Services", message: StoredMessage) -> str:
    """The queue id of the new message; NotDone says why there is none."""
    message.verify_content()
    left = _left(message)
    try:
        return services.run(services.submit(message, [recipient.original for recipient in left]))
    except MailError as error:
        raise NotDone.refused(message.queue_id, str(error)) from error


def _left(message: StoredMessage) -> list[Recipient]:
    """The recipients that are not finished; NotDone if more than that is left of the message."""
    untold = [
        index
        for index, outcome in message.outcomes.items()
        if outcome.disposition is Disposition.BOUNCED and index not in message.reported
    ]
    if untold:
        reason = f"the sender has yet to be told of {len(untold)} recipients who bounced"
        raise NotDone.refused(message.queue_id, reason)
    done = message.done
    left = [
        recipient
        for index, recipient in enumerate(message.envelope.recipients)
        if index not in done
    ]
    if not left:
        raise NotDone.refused(message.queue_id, "no recipient is left")
    return left
