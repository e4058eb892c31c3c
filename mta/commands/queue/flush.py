"""`mta queue flush`: have the queue manager try deferred messages now."""

import os
from typing import TYPE_CHECKING

import click

from mta.commands.failure import Failure
from mta.commands.main import Target
from mta.commands.queue.access import may_read, opened
from mta.commands.queue.arguments import chooses
from mta.commands.queue.choice import Choice
from mta.commands.queue.verb import NotDone, Unanswered, Verb
from mta.commands.queue.work import perform
from mta.proto.status import MailError
from mta.queue.entry import Entry

if TYPE_CHECKING:
    from mta.commands.queue.services import Services

__all__ = ["flush"]

_FLUSH = Verb("to be tried now", "to be tried now", ("incoming", "deferred"), harmless=True)


@click.command()
@chooses(or_all=True)
def flush(options: Target, choice: Choice) -> None:
    """Have deferred messages tried now: all of them, or those of the ids or criteria.

    Users who may not read the queue ask the running system for it, which may refuse.
    """
    if not may_read(options):
        from mta.commands.queue.asking import flush_by_request  # noqa: PLC0415 - as below

        flush_by_request(options, choice)
        return
    from mta.commands.queue.services import Services  # noqa: PLC0415 - takes long to import

    with opened(options) as store, Services(options.queue_directory) as services:
        if choice.is_everything and not choice.dry_run:
            click.echo(f"{_flush_all(services)} {_FLUSH.done}.")
            return

        def act(entry: Entry) -> int:
            try:
                return services.run(services.qmgr.flush(entry.queue_id))
            except MailError as error:
                raise NotDone.refused(entry.queue_id, str(error)) from error

        perform(store, choice, _FLUSH, act)


def _flush_all(services: "Services") -> int:
    """One request for all: the queue manager knows which they are."""
    try:
        return services.run(services.qmgr.flush())
    except (Unanswered, MailError) as error:
        raise Failure(f"queue: {error}", os.EX_UNAVAILABLE) from error
