"""`mta queue flush`: have the queue manager try deferred messages now."""

import click

from mta.commands.main import Target
from mta.commands.queue.access import opened
from mta.commands.queue.arguments import chooses
from mta.commands.queue.choice import Choice
from mta.commands.queue.verb import NotDone, Verb
from mta.commands.queue.work import perform
from mta.proto.status import MailError

__all__ = ["flush"]

_FLUSH = Verb("to be tried now", "to be tried now", ("incoming", "deferred"))


@click.command()
@chooses(or_all=True)
def flush(options: Target, choice: Choice) -> None:
    """Have deferred messages tried now: all of them, or those of the ids or criteria."""
    from mta.commands.queue.services import Services  # noqa: PLC0415 - takes long to import

    with opened(options) as store, Services(options.queue_directory) as services:

        def ask(queue_id: str) -> int:
            try:
                return services.run(services.qmgr.flush(queue_id))
            except MailError as error:
                raise NotDone.refused(queue_id or "all", str(error)) from error

        if choice.is_everything and not choice.dry_run:
            click.echo(f"{ask('')} {_FLUSH.done}.")
        else:
            perform(store, choice, _FLUSH, lambda entry: ask(entry.queue_id))
